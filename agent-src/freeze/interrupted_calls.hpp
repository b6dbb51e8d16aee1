// System calls that a stop interrupts, so that the program never notices.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "agent-src/freeze/sleep_reader.hpp"
#include "agent-src/freeze/stopped_timers.hpp"
#include "agent-src/freeze/timed_calls.hpp"
#include "common/proc/status.hpp"

namespace crx {

struct FrozenThread;
class FrozenTask;

// Looks at threads right before a stop; used right after it.
//
// Stopping a thread makes some system calls return -EINTR that a program must only see after a signal handler:
// epoll_wait, sigtimedwait, semtimedop, ... (signal(7)). These are rewound, so that the thread makes them again when
// it runs on, with what is left of their time limit: the stop disarms the timer that tells it, so the timers of all
// threads are noted before. A thread may have woken meanwhile, and be in another call: unless it is known to have slept
// since its timer was looked at, the whole limit counts from the stop on, which is late by what was over of it, and
// never early. A limit in memory is the caller's and stays as it is: the thread is given another one, below its stack
// pointer, where the stack is known to be a plain one. Socket time-outs (SO_RCVTIMEO) begin anew. Single-threaded.
class InterruptedCalls {
 public:
  explicit InterruptedCalls(SleepReader& sleeps);

  // What all threads of these processes are in, those that are gone left out. May be called again for others.
  void look_at(const std::vector<pid_t>& processes);
  void look_at_leader(pid_t pid);
  bool has_seen(pid_t pid) const { return processes_.contains(pid); }
  // The thread, which we trace already, is interrupted next.
  void look_once_more(pid_t tid);

  // All of the task's threads() are stopped and their registers read. Changes registers of threads as told above.
  void rewind(FrozenTask& task);
  // For sleeps that the kernel restarts by itself (-ERESTART_RESTARTBLOCK): finds out until when, for the image. Told
  // in FrozenThread::sleep. After rewind(); changes nothing of the task.
  void find_sleeps(FrozenTask& task) const;

 private:
  struct Seen {
    SystemCall call;
    uint64_t sp = 0;
    int64_t original_nr = -1;  // behind restart_syscall
    uint64_t switches = 0;     // how often it had gone to sleep before its timer was looked at
    bool wants_timer = false;
    std::size_t look = 0;           // at which it was noted
    std::optional<int64_t> due_ns;  // as it was right before the stop
  };
  struct Interrupted {
    FrozenThread* thread;
    SystemCall call;
    Limit limit;
    bool same_sleep;  // the one it was seen in: its timer has been looked at
  };
  void look_at_thread(pid_t pid, pid_t tid);
  void note_timers();
  bool is_same_sleep(const FrozenThread& thread, const proc::Status& status) const;
  SystemCall original_call(const FrozenThread& thread) const;
  std::map<pid_t, uint64_t> structures_of(const std::vector<Interrupted>& all) const;
  std::optional<int64_t> timer_due(const Interrupted& it) const;
  std::optional<int64_t> block_due(const Interrupted& it, const std::map<pid_t, uint64_t>& structures) const;
  void make_again(FrozenTask& task, const Interrupted& it, std::optional<int64_t> due_ns) const;
  int64_t now_ns() const;

  SleepReader& sleeps_;
  int64_t lead_ns_;  // of our CLOCK_MONOTONIC over that of the initial time namespace
  std::set<pid_t> processes_;
  std::map<pid_t, Seen> seen_;
  std::vector<std::vector<ArmedTimer>> looks_;
  bool has_limits_ = false, needs_timers_ = false;  // of a look under way
  StoppedTimers listed_;                            // where there is no reader
};

}  // namespace crx
