// memfd_create(2) files, and descriptors of what shared anonymous mappings show (opened by way of /proc/PID/map_files).
// Their content is a shared-memory object of the rounds.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <string_view>
#include <vector>

#include "common/base/fd.hpp"
#include "common/image/schema/regular.pb.h"

namespace crx {

// Whether what /proc/PID/fd/N (or map_files) points to is one of these.
bool is_memfd(std::string_view link, const struct stat& st);

// Name (kAnonymousObjectName for what is no memfd), owner, size, mode and seals through a descriptor of it; shmid and
// inode_id are its object_number().
// link: as above.
img::memfd_inode_entry describe_memfd(int fd, std::string_view link);

// The memfds that a task has open, each inode once, with a description of our own (read-only): for rounds to carry
// those that no mapping leads to. The task may run.
struct OpenMemfd {
  img::memfd_inode_entry inode;
  Fd fd;
};
std::vector<OpenMemfd> open_memfds(pid_t pid);

}  // namespace crx
