// Time namespaces: with them CLOCK_MONOTONIC and CLOCK_BOOTTIME of a moved task continue without a jump
// (time_namespaces(7)).
#pragma once

#include <sys/types.h>

#include <cstdint>

namespace crx {

// The offsets of a task's time namespace to the initial one, in nanoseconds. Zero on kernels without time namespaces.
struct TimeOffsets {
  int64_t monotonic_ns = 0;
  int64_t boottime_ns = 0;
};

// Clock readings in the time namespace of a task.
struct TaskClocks {
  int64_t monotonic_ns = 0;
  int64_t boottime_ns = 0;
};

// Reads /proc/PID/timens_offsets; pid 0 is the calling process.
TimeOffsets time_offsets(pid_t pid);
// The current readings of the task's clocks.
TaskClocks task_clocks(pid_t pid);
// Creates a new time namespace for the future children of this process, with these offsets to the initial one
// (unshare(CLONE_NEWTIME); the caller itself stays in its own). Possible once per process, before its first child.
// Needs CAP_SYS_TIME; throws Error(unsupported) with that reason.
void unshare_time(const TimeOffsets& offsets);

}  // namespace crx
