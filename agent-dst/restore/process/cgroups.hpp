// Puts the tasks of a tree into the control groups they were in, as far as this host has the hierarchies.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "common/image/image_io.hpp"
#include "common/image/schema/core.pb.h"
#include "common/image/schema/crx.pb.h"
#include "common/proc/cgroup.hpp"

namespace crx {

struct CgroupWish {
  pid_t pid = 0;
  std::vector<proc::CgroupEntry> homes;
};

// Reads the groups of one task from the images: crx_task_entry.cgroup, otherwise CRIU's cgroup.img.
CgroupWish read_cgroup_wish(pid_t pid, const img::core_entry& core, const img::crx_task_entry& extra,
                            const ImageSource& images);

// Moves the tasks, the root first; they may run. If a group cannot be used (no such hierarchy or controller here, a
// group that takes no processes), this is logged and the task stays where it is. `group` is the one that was made for
// the tree (empty: none): processes forked in it meanwhile follow the root, and it is removed when it is empty.
void join_cgroups(const std::vector<CgroupWish>& tasks, const std::string& group) noexcept;

}  // namespace crx
