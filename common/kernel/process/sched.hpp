// Reads and sets the scheduling of a thread from outside: sched_setattr(2), ioprio_set(2), affinity. glibc 2.36 has no
// wrappers for threads of other processes.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <vector>

namespace crx {

// struct sched_attr of include/uapi/linux/sched/types.h, with the fields of Linux 5.3.
struct SchedAttr {
  uint32_t size = 56;
  uint32_t policy = 0;
  uint64_t flags = 0;
  int32_t nice = 0;
  uint32_t priority = 0;
  uint64_t runtime = 0;   // ns; for SCHED_OTHER and SCHED_BATCH the slice (Linux 6.12)
  uint64_t deadline = 0;  // ns
  uint64_t period = 0;    // ns
  uint32_t util_min = 0;
  uint32_t util_max = 0;
  bool operator==(const SchedAttr&) const = default;
};
inline constexpr uint64_t kSchedResetOnFork = 0x01;
inline constexpr uint64_t kSchedUtilClampMin = 0x20;
inline constexpr uint64_t kSchedUtilClampMax = 0x40;
inline constexpr uint32_t kSchedNormal = 0, kSchedFifo = 1, kSchedRr = 2, kSchedBatch = 3, kSchedIdle = 5,
                          kSchedDeadline = 6;

// These functions throw Error(victim_gone) when the thread has ended.
SchedAttr sched_attr(pid_t tid);
// Returns 0 or an errno value.
[[nodiscard]] int set_sched_attr(pid_t tid, const SchedAttr& attr);

// getpriority(2). It is also meaningful for a thread whose current policy does not use the nice value.
int nice_value(pid_t tid);

// In the format of ioprio_get(2): class << 13 | level; 0 means that the priority follows the nice value.
uint32_t io_priority(pid_t tid);
[[nodiscard]] int set_io_priority(pid_t tid, uint32_t ioprio);

// One bit per CPU; CPU 0 is bit 0 of the first word.
using CpuMask = std::vector<uint64_t>;
CpuMask affinity(pid_t tid);
[[nodiscard]] int set_affinity(pid_t tid, const CpuMask& mask);
// The CPUs of this host that are online.
CpuMask online_cpus();

}  // namespace crx
