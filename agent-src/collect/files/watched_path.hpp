// Where the files are that inotify and fanotify watch: the kernel tells inodes and handles.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "common/image/schema/events.pb.h"
#include "common/proc/fdinfo.hpp"

namespace crx {

// Mount points of a device (in the kernel's encoding: major << 20 | minor) as the task sees them.
std::vector<std::string> mounts_of_device(pid_t pid, uint32_t sdev);
// The mount point of a mount as the task sees it; empty when there is none.
std::string mount_point(pid_t pid, uint32_t mount_id);
// The path of a watched file; empty when it cannot be found.
std::string find_watched_path(pid_t pid, uint32_t sdev, uint64_t inode, const proc::FileHandle& handle);
img::fh_entry describe_handle(const proc::FileHandle& handle, const std::string& path);

}  // namespace crx
