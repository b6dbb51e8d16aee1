// The process of the first vessel: clone3(2) with a chosen PID, and a child that maps the arena and waits.
#pragma once

#include <sys/types.h>

#include <cstdint>

#include "common/base/fd.hpp"

namespace crx {

// sid, pgid and cgroup_dir as in VesselPlan. code_fd, data_fd: the two objects of the arena.
struct SpawnPlan {
  pid_t pid = 0;
  pid_t sid = 0;
  pid_t pgid = 0;
  int cgroup_dir = -1;
  int code_fd = -1, data_fd = -1;
  std::size_t code_bytes = 0, data_bytes = 0;
  uint64_t code_addr = 0, data_addr = 0;  // free in our own address space
};

// Returns when the child has mapped the arena (R-X and RW) and waits to be seized; it ends by itself when nobody does
// so within ten seconds. Must be called from a single-threaded process. The child is our parent's child (CLONE_PARENT).
// Throws Error(refused) naming the process that has the PID, Error(kernel) otherwise.
void spawn_vessel(const SpawnPlan& plan);

}  // namespace crx
