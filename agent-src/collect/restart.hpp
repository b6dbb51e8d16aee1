// System calls that a stop interrupts, so that the program never notices.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <vector>

#include "agent-src/collect/timed_calls.hpp"
#include "common/kernel/timer_list.hpp"

namespace crx {

struct FrozenThread;
class FrozenTask;

// Made right before a stop, used right after it.
//
// Stopping a thread makes some system calls return -EINTR that a program must only see after a signal handler:
// epoll_wait, sigtimedwait, semtimedop, ... (signal(7)). These are rewound, so that the thread makes them again when
// it runs on, with what is left of their time limit. The rest of a limit is found by comparing the timers that were
// armed before the stop (/proc/timer_list) with those after it. A limit in memory is the caller's and stays as it
// is: the thread is given another one, below its stack pointer, where the stack is known to be a plain one.
// Socket time-outs (SO_RCVTIMEO) begin anew.
class CallWatch {
 public:
  // threads: those that will be stopped. Nothing is touched.
  CallWatch(pid_t pid, const std::vector<pid_t>& threads);

  // All of the task's threads() are stopped and their registers read. Changes registers of threads as told above.
  void mend(FrozenTask& task);
  // For sleeps that the kernel restarts by itself (-ERESTART_RESTARTBLOCK): finds out until when, for the image. Only
  // where it is not plain which timer was whose, threads sleep on for a moment, in ways that tell their timers apart
  // (no thread executes anything of its own meanwhile; one whose time is up stops behind its call, one that gets a
  // signal before the first instruction of its handler). Nothing is changed for that: should we be killed, they sleep on.
  // Told in FrozenThread::sleep. After mend().
  void find_sleeps(FrozenTask& task);

 private:
  struct Seen {
    SystemCall call;
    uint64_t sp = 0;
    int64_t original_nr = -1;  // behind restart_syscall
    uint64_t switches = 0;     // how often it has gone to sleep
  };
  struct Sleeper {
    FrozenThread* thread;
    SystemCall call;
    int64_t latest_ns;  // it cannot be due after this
    std::vector<int64_t> candidates;
  };
  // It is still in the very sleep it was seen in: its timer is among those seen.
  bool is_same_sleep(const FrozenTask& task, const FrozenThread& thread) const;
  std::vector<int64_t> candidates(int64_t latest_ns) const;
  void make_again(FrozenTask& task, FrozenThread& thread, const SystemCall& call);
  void tell_apart(FrozenTask& task, std::vector<Sleeper*>& sleepers);

  std::map<pid_t, Seen> seen_;
  SleepTimers before_;
  std::vector<int64_t> stopped_;  // dues of timers that the stop disarmed, ascending
  int64_t now_ns_ = 0;
};

}  // namespace crx
