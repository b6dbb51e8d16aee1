// memfd_create(2) files. Their content is a shared-memory object of the rounds.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

#include "common/image/regular.pb.h"

namespace crx {

// Whether what /proc/PID/fd/N (or map_files) points to is a memfd.
bool is_memfd(std::string_view link, const struct stat& st);

// Name, owner, size, mode and seals through a descriptor of it; shmid and inode_id are the inode's number.
// link: as above.
img::memfd_inode_entry describe_memfd(int fd, std::string_view link);

// Links (/proc/PID/fd/N) to the memfds that a task has open, each inode once: for rounds to open and carry those that no
// mapping leads to.
std::vector<std::string> list_memfds(pid_t pid);

}  // namespace crx
