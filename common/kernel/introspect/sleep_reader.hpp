// Until when threads sleep, as the kernel's own structures have it: exactly, and of which thread each timer is, which
// /proc/timer_list does not say. kernel/time/hrtimer.c, include/linux/restart_block.h.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>

#include "common/kernel/introspect/bpf/programs.h"

namespace crx {

// Of a thread that sleeps.
struct ThreadSleep {
  // How often the thread has gone to sleep (voluntary_ctxt_switches of proc_pid_status(5)).
  uint64_t switches = 0;
  // What was asked for, without what the kernel adds to wake several at once. CLOCK_MONOTONIC of the initial time
  // namespace. Where a thread waits on several timers, the latest. Empty where it sleeps without a limit.
  std::optional<int64_t> due_ns;
};

// What the kernel keeps of a call that was interrupted and that it restarts by itself (-ERESTART_RESTARTBLOCK): one of
// these, and the caller has to know which. Points in time are as the kernel has them, in nanoseconds.
struct RestartBlock {
  struct {
    int32_t clock;
    uint64_t remainder_addr;
    int64_t due_ns;  // on that clock
  } sleep{};
  struct {
    uint64_t addr;
    int64_t due_ns;  // CLOCK_MONOTONIC of the initial time namespace
  } futex{};
  struct {
    uint64_t addr;
    bool has_limit;
    int64_t due_ns;  // the same
  } poll{};
};

// Part of a KernelView. Single-threaded.
class SleepReader {
 public:
  // Loads the programs. Returns 0, or an errno: EPERM without CAP_BPF and CAP_PERFMON.
  static int open(std::optional<SleepReader>& reader);

  // Empty where the thread does not exist, does not sleep, or woke while it was looked at. Thirty microseconds. Throws
  // Error(kernel).
  std::optional<ThreadSleep> timer_of(pid_t tid) const;
  // Of the threads of a process, by thread. Left out are threads that run while they are looked at: a block means
  // something only where the thread has not run since it was interrupted. Throws Error(kernel).
  std::map<pid_t, RestartBlock> restart_blocks(pid_t pid) const;

 private:
  struct Unload {
    void operator()(void* skeleton) const { crx_unload_sleep_programs(skeleton); }
  };
  explicit SleepReader(const crx_sleep_programs& programs) : programs_(programs), skeleton_(programs.skeleton) {}

  crx_sleep_programs programs_;
  std::unique_ptr<void, Unload> skeleton_;
};

}  // namespace crx
