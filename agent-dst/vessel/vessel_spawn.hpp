// Creates the process of the first vessel by clone3(2) with a chosen PID; the child maps the arena and waits.
#pragma once

#include <sys/types.h>

#include <cstdint>

#include "common/base/fd.hpp"

namespace crx {

// pid, sid, pgid and cgroup_dir are as in VesselPlan. code_fd, data_fd: descriptors of the two objects of the arena,
// not owned. Sizes are in bytes.
struct SpawnPlan {
  pid_t pid = 0;
  pid_t sid = 0;
  pid_t pgid = 0;
  int cgroup_dir = -1;
  int code_fd = -1, data_fd = -1;
  std::size_t code_bytes = 0, data_bytes = 0;
  uint64_t code_addr = 0, data_addr = 0;  // must be free in the engine's own address space
};

// Returns when the child has mapped the arena (code R-X, data RW) and waits to be seized (PTRACE_SEIZE). The child ends
// by itself when it is not seized within ten seconds. Must be called from a single-threaded process. The child's parent
// is the caller's parent (CLONE_PARENT). Throws Error(refused) that names the process which has the PID, Error(kernel)
// otherwise.
void spawn_vessel(const SpawnPlan& plan);

}  // namespace crx
