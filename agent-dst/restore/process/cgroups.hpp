// Groups of the cgroup hierarchies that the tasks of a tree were in, made again where this host has the hierarchy.
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

// What the images tell of one task: crx_task_entry.cgroup, else CRIU's cgroup.img.
CgroupWish read_cgroup_wish(pid_t pid, const img::core_entry& core, const img::crx_task_entry& extra,
                            const ImageSource& images);

// Moves the tasks, the root first, which may run. What cannot be had (no such hierarchy or controller here, a group
// that takes no processes) is logged, and the task stays where it is. Who is born in `group`, the one made for the tree
// (empty for none), meanwhile follows the root, and the group is removed when it is empty.
void join_cgroups(const std::vector<CgroupWish>& tasks, const std::string& group) noexcept;

}  // namespace crx
