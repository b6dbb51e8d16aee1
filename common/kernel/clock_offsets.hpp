// Time namespaces: how a task's clocks differ from the initial ones.
#pragma once

#include <sys/types.h>

#include <cstdint>

namespace crx {

// What time_namespaces(7) adds to CLOCK_MONOTONIC and CLOCK_BOOTTIME.
struct ClockOffsets {
  int64_t monotonic_ns = 0;
  int64_t boottime_ns = 0;
  // Of a clock by id; other clocks have no offset.
  int64_t of(int clock_id) const;
};

// Of a task, 0 for ourselves. All 0 on a kernel without time namespaces. The file tells the offsets of the task's future
// children, which are the task's own unless it made a new namespace for them.
ClockOffsets clock_offsets(pid_t pid);

// What a clock of ours shows when `ns` of the same clock is shown to the task, and the other way round:
// theirs = ours + difference.
int64_t clock_difference(pid_t pid, int clock_id);

}  // namespace crx
