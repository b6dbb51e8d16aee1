// memfd_create(2) files, and descriptors of the objects behind shared anonymous mappings (opened through
// /proc/PID/map_files). Their content is a shared-memory object of the rounds.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <string_view>
#include <vector>

#include "common/base/fd.hpp"
#include "common/image/schema/regular.pb.h"

namespace crx {

// Whether /proc/PID/fd/N (or map_files) leads to such an object; link: its readlink(2), st: its stat(2).
bool is_memfd(std::string_view link, const struct stat& st);

// Describes the object through a descriptor of it: name (kAnonymousObjectName if it is no memfd), owner, size, mode and
// seals; shmid and inode_id are its object_number(). link: as above.
img::memfd_inode_entry describe_memfd(int fd, std::string_view link);

// Returns the memfds that a task has open, each inode once, with a read-only description of our own, so that rounds can
// send those that no mapping leads to. The task may run.
struct OpenMemfd {
  img::memfd_inode_entry inode;
  Fd fd;
};
std::vector<OpenMemfd> open_memfds(pid_t pid);

}  // namespace crx
