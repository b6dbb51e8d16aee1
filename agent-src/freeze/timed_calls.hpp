// System calls that wait: which of them may be made again, and how much time they have left.
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

// The sleep of a stopped thread whose remaining time only the kernel knows (-ERESTART_RESTARTBLOCK).
struct InterruptedSleep {
  SystemCall call;     // nr is that of the original call, also if the thread is in restart_syscall(2)
  int64_t due_ns = 0;  // CLOCK_MONOTONIC of the initial time namespace; 0: not known
};

// Returns the system call of a thread that is stopped in one; nr is -1 if it is in none.
SystemCall call_of(const user_regs_struct& regs);

// Whether a call that returned -EINTR may be made again: it did nothing, and its caller would repeat it. The kernel
// itself repeats most calls (-ERESTART*), but not these.
bool may_be_made_again(const SystemCall& call);

// Where a call has its time limit.
enum class LimitKind {
  none,         // none, or a point in time: made again, the call ends when it should
  register_ms,  // int milliseconds in an argument
  pointer,      // const struct timespec* in an argument
};
struct Limit {
  LimitKind kind = LimitKind::none;
  unsigned argument = 0;
  int64_t ns = 0;  // the requested duration
};
// Finds the time limit of a call; reads the task's memory for pointers. Only durations count, and a limit that cannot
// be read counts as none.
Limit limit_of(pid_t pid, const SystemCall& call);

// Whether the kernel itself keeps the end of this call (-ERESTART_RESTARTBLOCK), for a call with a limit; it does not
// return -EINTR then.
bool has_restart_block(const SystemCall& call);

// Returns the address at which the kernel has stored the rest of an interrupted sleep; 0: the caller did not ask for
// it.
uint64_t remainder_addr(const SystemCall& call);

// Returns the original call of a thread in restart_syscall(2), by the name of the kernel function in which it waits
// (/proc/TID/wchan).
int64_t call_behind_restart(std::string_view wchan, const SystemCall& restart);

}  // namespace crx
