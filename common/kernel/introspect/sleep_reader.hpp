// Reads from the kernel's own structures until when threads sleep. The times are exact, and each timer is assigned to
// its thread, which /proc/timer_list does not show. See kernel/time/hrtimer.c, include/linux/restart_block.h.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>

#include "common/kernel/introspect/bpf/programs.h"

namespace crx {

// The state of a thread that sleeps.
struct ThreadSleep {
  // How often the thread has gone to sleep (voluntary_ctxt_switches of proc_pid_status(5)).
  uint64_t switches = 0;
  // The time that the thread asked for, in nanoseconds of CLOCK_MONOTONIC of the initial time namespace, without the
  // slack that the kernel adds to wake several threads at once. The latest one where the thread waits on several
  // timers. Empty where the thread sleeps without a limit.
  std::optional<int64_t> due_ns;
};

// The data that the kernel keeps of an interrupted call which it restarts by itself (-ERESTART_RESTARTBLOCK). They are
// a union in the kernel: only one of the three is valid, and the caller has to know which. Points in time are as in the
// kernel, in nanoseconds.
struct RestartBlock {
  struct {
    int32_t clock;
    uint64_t remainder_addr;
    int64_t due_ns;  // of `clock`
  } sleep{};
  struct {
    uint64_t addr;
    int64_t due_ns;  // CLOCK_MONOTONIC of the initial time namespace
  } futex{};
  struct {
    uint64_t addr;
    bool has_limit;
    int64_t due_ns;  // CLOCK_MONOTONIC of the initial time namespace; only if has_limit
  } poll{};
};

// Part of a KernelView; owns its BPF programs. Single-threaded.
class SleepReader {
 public:
  // Loads the programs and sets `reader`. Returns 0, or an errno: EPERM without CAP_BPF and CAP_PERFMON.
  static int open(std::optional<SleepReader>& reader);

  // Returns the sleep of a thread; nullopt where the thread does not exist, does not sleep, or woke up while it was
  // read. Takes thirty microseconds. Throws Error(kernel).
  std::optional<ThreadSleep> timer_of(pid_t tid) const;
  // Returns the restart blocks of the threads of a process, by TID. Leaves out threads that ran while they were read: a
  // block is meaningful only if the thread has not run since it was interrupted. Throws Error(kernel).
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
