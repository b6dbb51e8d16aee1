// Rewinds the system calls that a stop interrupts, so that the program never notices the stop.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "agent-src/freeze/stopped_timers.hpp"
#include "agent-src/freeze/timed_calls.hpp"
#include "common/kernel/introspect/kernel_view.hpp"
#include "common/proc/status.hpp"

namespace crx {

struct FrozenThread;
class FrozenTask;

// Looks at threads right before a stop, and repairs them right after it.
//
// Stopping a thread makes some system calls return -EINTR, which a program must only see after a signal handler:
// epoll_wait, sigtimedwait, semtimedop, ... (signal(7)). These calls are rewound, so that the thread makes them again
// when it runs on, with the rest of their time limit. The stop disarms the timer that shows this rest, so the timers of
// all threads are recorded before. A thread may have woken meanwhile and be in another call: unless it is known to have
// slept since its timer was read, the whole limit counts again from the stop on. The call then ends late by the part
// that had passed, and never early. A time limit in memory belongs to the caller and stays unchanged: the call gets
// another one below the thread's stack pointer, if that is known to be a plain stack. Socket time-outs (SO_RCVTIMEO)
// begin anew. Single-threaded.
class InterruptedCalls {
 public:
  // kernel must outlive this object.
  explicit InterruptedCalls(KernelView& kernel);

  // Records the system calls and timers of all threads of these processes; those that are gone are left out. May be
  // called again for other processes.
  void look_at(const std::vector<pid_t>& processes);
  // The same for the leader of one process only.
  void look_at_leader(pid_t pid);
  bool has_seen(pid_t pid) const { return processes_.contains(pid); }
  // Reads the timer of a thread again; we trace it already and interrupt it next.
  void look_once_more(pid_t tid);

  // Rewinds the calls of a task. All its threads() are stopped and their registers read. Changes registers of threads
  // as described above.
  void rewind(FrozenTask& task);
  // Finds out how long sleeps last that the kernel restarts by itself (-ERESTART_RESTARTBLOCK), for the image; stores
  // it in FrozenThread::sleep. To be called after rewind(). Changes nothing in the task.
  void find_sleeps(FrozenTask& task) const;

 private:
  struct Seen {
    SystemCall call;
    uint64_t sp = 0;
    int64_t original_nr = -1;  // if the thread is in restart_syscall(2): the original call
    uint64_t switches = 0;     // how often it had gone to sleep before its timer was read
    bool wants_timer = false;
    std::optional<int64_t> due_ns;  // as read right before the stop
  };
  struct Interrupted {
    FrozenThread* thread;
    SystemCall call;
    Limit limit;
    bool same_sleep;  // it is the sleep that it was seen in, whose timer was read
  };
  void look_at_thread(pid_t pid, pid_t tid);
  void list_timers();
  bool is_same_sleep(const FrozenThread& thread, const proc::Status& status) const;
  SystemCall original_call(const FrozenThread& thread) const;
  std::map<pid_t, RestartBlock> blocks_of(pid_t pid, const std::vector<Interrupted>& all) const;
  std::optional<int64_t> timer_due(const Interrupted& it) const;
  std::optional<int64_t> block_due(const Interrupted& it, const std::map<pid_t, RestartBlock>& blocks) const;
  void make_again(FrozenTask& task, const Interrupted& it, std::optional<int64_t> due_ns) const;
  int64_t now_ns() const;

  KernelView& kernel_;
  int64_t lead_ns_;  // how far our CLOCK_MONOTONIC is ahead of the initial time namespace's
  std::set<pid_t> processes_;
  std::map<pid_t, Seen> seen_;
  bool has_limits_ = false;  // of the look in progress
  StoppedTimers listed_;     // used if the kernel cannot be read
};

}  // namespace crx
