// Time namespaces: CLOCK_MONOTONIC and CLOCK_BOOTTIME of a moved task go on where they were (time_namespaces(7)).
#pragma once

#include <sys/types.h>

#include <cstdint>

namespace crx {

// Offsets of a task's namespace to the initial one, nanoseconds. Zero on kernels without time namespaces.
struct TimeOffsets {
  int64_t monotonic_ns = 0;
  int64_t boottime_ns = 0;
};

// Clock readings as some task sees them.
struct TaskClocks {
  int64_t monotonic_ns = 0;
  int64_t boottime_ns = 0;
};

// /proc/PID/timens_offsets; pid 0: ourselves.
TimeOffsets time_offsets(pid_t pid);
// What the task's clocks show now.
TaskClocks task_clocks(pid_t pid);
// Makes a new time namespace for our future children (unshare(CLONE_NEWTIME); we stay in ours) with these offsets to
// the initial one. Once per process, before its first child. Needs CAP_SYS_TIME; throws Error(unsupported) saying so.
void unshare_time(const TimeOffsets& offsets);

}  // namespace crx
