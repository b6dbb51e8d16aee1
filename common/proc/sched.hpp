// Parses /proc/PID/task/TID/sched (kernel/sched/debug.c; needs CONFIG_SCHED_DEBUG before Linux 6.15).
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace crx::proc {

// When and how often a thread was switched. A field is nullopt when the kernel does not print it.
struct SchedInfo {
  // The time at which the thread last began to run or its run time was last updated, on the clock of its CPU's run
  // queue. This clock follows CLOCK_MONOTONIC of the initial time namespace except for suspends and small drifts.
  std::optional<int64_t> exec_start_ns;
  std::optional<int64_t> sum_exec_runtime_ns;
  std::optional<uint64_t> switches;
  std::optional<uint64_t> voluntary_switches;
  std::optional<uint64_t> involuntary_switches;
  std::optional<int64_t> slice_ns;
};

// Unknown lines are skipped; a text without the expected rule gives an empty result.
SchedInfo parse_sched(std::string_view text);

}  // namespace crx::proc
