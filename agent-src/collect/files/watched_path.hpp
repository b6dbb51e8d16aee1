// Finds the paths of files that inotify and fanotify watch, since the kernel shows only inodes and file handles.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "common/image/schema/events.pb.h"
#include "common/proc/fdinfo.hpp"

namespace crx {

// Returns the mount points of a device (in the kernel's encoding: major << 20 | minor) as the task sees them.
std::vector<std::string> mounts_of_device(pid_t pid, uint32_t sdev);
// Returns the mount point of a mount as the task sees it; empty if there is none.
// handle: from the watch's line in /proc/PID/fdinfo.
std::string mount_point(pid_t pid, uint32_t mount_id);
// Returns the path of a watched file as the task sees it; empty if it cannot be found. Opens by O_PATH only, which
// watchers do not notice.
std::string find_watched_path(pid_t pid, uint32_t sdev, uint64_t inode, const proc::FileHandle& handle);
// Makes CRIU's message from the handle and the path.
img::fh_entry describe_handle(const proc::FileHandle& handle, const std::string& path);

}  // namespace crx
