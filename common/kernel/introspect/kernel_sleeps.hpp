// Until when threads sleep, as the kernel's own structures tell: exactly, and whose each timer is, which
// /proc/timer_list does not say. kernel/time/hrtimer.c, include/linux/restart_block.h.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "common/kernel/introspect/kernel_reader.hpp"
#include "common/kernel/introspect/traced_tasks.hpp"

namespace crx {

// A timer that is armed and, maybe, a thread's that sleeps (struct hrtimer_sleeper).
struct ArmedTimer {
  uint64_t addr = 0;
  uint64_t task = 0;  // the thread's, where it is one's; else anything
  // What was asked for, without what the kernel adds to wake several at once. CLOCK_MONOTONIC of the initial time
  // namespace.
  int64_t due_ns = 0;
  uint64_t expires = 0;  // the same as the kernel has it, on the timer's own clock
  auto operator<=>(const ArmedTimer&) const = default;
};

// What the kernel keeps of a call that was interrupted and that it restarts by itself (-ERESTART_RESTARTBLOCK): one of
// these, and whoever asks knows which. Points in time are as the kernel has them, in nanoseconds.
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

class KernelSleeps {
 public:
  // Nothing where it cannot be told. Takes about a millisecond.
  static std::optional<KernelSleeps> open();

  // All timers that are armed on this machine, ascending; a microsecond each, at most 100,000. The kernel's trees are
  // read while they change: one that is armed all the while is left out once in many thousand times.
  std::vector<ArmedTimer> armed() const;

  // TracedTasks'.
  std::map<pid_t, uint64_t> tasks_of(const std::set<pid_t>& traced_tids) const {
    return traced_.find(reader_, traced_tids);
  }
  uint64_t own_task() const { return reader_.current_task(); }
  // The one of them that the task slept on, the latest where there are several. It need not sleep on it any more.
  std::optional<ArmedTimer> timer_of(uint64_t task, const std::vector<ArmedTimer>& armed) const;
  // Until when its thread sleeps now, if that is on the same timer still, or again within the same call; nothing where
  // it is not (each call has the thread's kernel stack begin elsewhere, CONFIG_RANDOMIZE_KSTACK_OFFSET; where not, a
  // later call's timer counts as well).
  std::optional<int64_t> due_now(const ArmedTimer& timer) const;
  // How often the task has gone to sleep (voluntary_ctxt_switches of proc_pid_status(5)).
  uint64_t switches_of(uint64_t task) const { return reader_.word(task + at_.switches); }
  // Of a task that has not run since it was interrupted.
  RestartBlock restart_block(uint64_t task) const;

 private:
  explicit KernelSleeps(KernelReader reader);
  bool is_in_tree(const ArmedTimer& timer, uint64_t parent, uint64_t clock) const;
  bool walk_clocks(uint64_t base, std::vector<ArmedTimer>& timers) const;
  bool walk(uint64_t root, uint64_t to_own, std::vector<ArmedTimer>& timers) const;

  KernelReader reader_;
  TracedTasks traced_;
  uint64_t bases_ = 0;  // per-CPU address of the first clock's base (hrtimer_bases)
  std::vector<uint64_t> cpu_offsets_;
  struct Offsets {
    uint64_t stack, block, switches;                                                  // task_struct
    uint64_t clocks, cpu, cpu_bytes;                                                  // hrtimer_cpu_base
    uint64_t cpu_base, clock_bytes, tree, to_own;                                     // hrtimer_clock_base
    uint64_t node, parent, left, right, due, base, task, timer_bytes, sleeper_bytes;  // hrtimer, hrtimer_sleeper
    uint64_t block_bytes, clock, remainder, sleep_due, futex, futex_due, poll, has_limit, seconds,
        nanoseconds;  // restart_block
  } at_{};
};

}  // namespace crx
