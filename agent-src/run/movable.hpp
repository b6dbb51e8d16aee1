// Looks at a program that was just started for what would keep it from moving.
#pragma once

#include <sys/types.h>

#include <optional>
#include <vector>

#include "common/kernel/process/child_process.hpp"
#include "common/tool/findings.hpp"

namespace crx {

// Waits until the program waits for something itself, which is when most programs have opened what they keep open, for
// at most a second. Returns how it ended where it has ended meanwhile; `program` is empty then.
std::optional<ChildStatus> wait_until_settled(ChildProcess& program);

// Returns what would keep the process tree from being moved by crx-migrate without options: files are not looked at,
// since that takes the destination. The tree is not stopped. Needs root. Throws Error; victim_gone where it has ended.
std::vector<Finding> find_obstacles(pid_t root);

}  // namespace crx
