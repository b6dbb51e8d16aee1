// System calls that wait: which of them may be made again, and how long they still have.
#pragma once

#include <sys/types.h>
#include <sys/user.h>

#include <array>
#include <cstdint>
#include <string_view>

namespace crx {

struct SystemCall {
  int64_t nr = -1;
  std::array<uint64_t, 6> args{};
};

// What a stopped thread was in, where the kernel keeps the time left to itself (-ERESTART_RESTARTBLOCK).
struct InterruptedSleep {
  SystemCall call;     // nr is that of the original call, also where it was in restart_syscall(2)
  int64_t due_ns = 0;  // CLOCK_MONOTONIC of the initial time namespace; 0: not known
};

SystemCall call_of(const user_regs_struct& regs);

// A call that returned -EINTR did nothing, so that making it again is what its caller would do. The kernel does that
// by itself for most calls (-ERESTART*), but not for these.
bool may_be_made_again(const SystemCall& call);

// Where a call has its time limit.
enum class LimitKind {
  none,         // it has no limit, or a point in time: made again it ends when it should
  register_ms,  // int milliseconds, in an argument
  pointer,      // const struct timespec*, in an argument
};
struct Limit {
  LimitKind kind = LimitKind::none;
  unsigned argument = 0;
  int64_t ns = 0;  // the duration asked for
};
// Reads the task's memory for pointers. Durations only; a limit that cannot be read is none.
Limit limit_of(pid_t pid, const SystemCall& call);

// Of a call with a limit: the kernel keeps when it is due itself (-ERESTART_RESTARTBLOCK), and does not return -EINTR.
bool has_restart_block(const SystemCall& call);

// The address where the kernel has left the rest of an interrupted sleep; 0: the caller did not want it.
uint64_t remainder_addr(const SystemCall& call);

// What a thread in restart_syscall(2) sleeps in, by the name of the kernel function it waits in (/proc/TID/wchan).
int64_t call_behind_restart(std::string_view wchan, const SystemCall& restart);

}  // namespace crx
