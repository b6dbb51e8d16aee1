// /proc/PID/task/TID/sched (kernel/sched/debug.c; needs CONFIG_SCHED_DEBUG before Linux 6.15).
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace crx::proc {

// When and how often a thread was switched. Absent where the kernel does not print it.
struct SchedInfo {
  // When the thread last began to run, or was accounted for: on the clock of its CPU's run queue, which
  // follows CLOCK_MONOTONIC of the initial time namespace up to suspends and small drifts.
  std::optional<int64_t> exec_start_ns;
  std::optional<int64_t> sum_exec_runtime_ns;
  std::optional<uint64_t> switches;
  std::optional<uint64_t> voluntary_switches;
  std::optional<uint64_t> involuntary_switches;
  std::optional<int64_t> slice_ns;
};

SchedInfo parse_sched(std::string_view text);

}  // namespace crx::proc
