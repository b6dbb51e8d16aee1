#include "agent-src/freeze/timed_calls.hpp"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>

#include <algorithm>
#include <optional>

namespace crx {
namespace {

constexpr int64_t kNsOfMs = 1'000'000;
constexpr int64_t kLongestNs = int64_t{1} << 62;
constexpr int64_t kEpollPwait2 = 441;

std::optional<int64_t> read_duration(pid_t pid, uint64_t addr) {
  timespec value{};
  if (addr == 0) return std::nullopt;
  iovec local{&value, sizeof value};
  iovec remote{reinterpret_cast<void*>(addr), sizeof value};
  if (::process_vm_readv(pid, &local, 1, &remote, 1, 0) != static_cast<ssize_t>(sizeof value)) return std::nullopt;
  if (value.tv_sec < 0 || value.tv_nsec < 0 || value.tv_nsec >= 1'000'000'000) return std::nullopt;
  if (value.tv_sec > kLongestNs / 1'000'000'000) return kLongestNs;
  return int64_t{value.tv_sec} * 1'000'000'000 + value.tv_nsec;
}

Limit in_register(const SystemCall& call, unsigned argument) {
  const auto ms = static_cast<int32_t>(call.args[argument]);
  if (ms < 0) return {};
  return {LimitKind::register_ms, argument, ms * kNsOfMs};
}

Limit in_memory(pid_t pid, const SystemCall& call, unsigned argument) {
  const auto ns = read_duration(pid, call.args[argument]);
  if (!ns) return {};
  return {LimitKind::pointer, argument, *ns};
}

bool futex_is_relative(const SystemCall& call) {
  return (static_cast<int>(call.args[1]) & FUTEX_CMD_MASK) == FUTEX_WAIT;
}

}  // namespace

SystemCall call_of(const user_regs_struct& r) {
  return {static_cast<int64_t>(r.orig_rax), {r.rdi, r.rsi, r.rdx, r.r10, r.r8, r.r9}};
}

bool may_be_made_again(const SystemCall& call) {
  static constexpr int64_t kCalls[] = {
      SYS_epoll_wait, SYS_epoll_pwait, kEpollPwait2, SYS_rt_sigtimedwait, SYS_semop, SYS_semtimedop, SYS_msgrcv,
      SYS_msgsnd, SYS_io_getevents, SYS_io_pgetevents,
      // Calls on sockets with a time limit, and on files whose drivers return -EINTR.
      SYS_read, SYS_readv, SYS_pread64, SYS_preadv, SYS_preadv2, SYS_write, SYS_writev, SYS_pwrite64, SYS_pwritev,
      SYS_pwritev2, SYS_recvfrom, SYS_recvmsg, SYS_recvmmsg, SYS_sendto, SYS_sendmsg, SYS_sendmmsg, SYS_accept,
      SYS_accept4, SYS_connect, SYS_fallocate, SYS_getrandom, SYS_mq_timedreceive, SYS_mq_timedsend, SYS_flock,
      SYS_futex, 449, SYS_wait4, SYS_waitid, SYS_pause, SYS_open, SYS_openat, SYS_madvise, SYS_mlock, SYS_mlock2};
  return std::find(std::begin(kCalls), std::end(kCalls), call.nr) != std::end(kCalls);
}

Limit limit_of(pid_t pid, const SystemCall& call) {
  switch (call.nr) {
    case SYS_epoll_wait:
    case SYS_epoll_pwait:
      return in_register(call, 3);
    case SYS_poll:
      return in_register(call, 2);
    case kEpollPwait2:
      return in_memory(pid, call, 3);
    case SYS_rt_sigtimedwait:
      return in_memory(pid, call, 2);
    case SYS_semtimedop:
      return in_memory(pid, call, 3);
    case SYS_io_getevents:
    case SYS_io_pgetevents:
      return in_memory(pid, call, 4);
    case SYS_nanosleep:
      return in_memory(pid, call, 0);
    case SYS_clock_nanosleep:
      return (call.args[1] & TIMER_ABSTIME) != 0 ? Limit{} : in_memory(pid, call, 2);
    case SYS_futex:
      return futex_is_relative(call) ? in_memory(pid, call, 3) : Limit{};
    default:
      return {};
  }
}

bool has_restart_block(const SystemCall& call) {
  return call.nr == SYS_nanosleep || call.nr == SYS_clock_nanosleep || call.nr == SYS_poll || call.nr == SYS_futex;
}

uint64_t remainder_addr(const SystemCall& call) {
  if (call.nr == SYS_nanosleep) return call.args[1];
  if (call.nr == SYS_clock_nanosleep) return call.args[3];
  return 0;
}

int64_t call_behind_restart(std::string_view wchan, const SystemCall& restart) {
  if (wchan.starts_with("poll_") || wchan.starts_with("do_poll") || wchan.starts_with("do_sys_poll")) return SYS_poll;
  if (wchan.starts_with("futex") || wchan.starts_with("do_futex")) return SYS_futex;
  // Only a sleep is left. clock_nanosleep has a clock id in the argument in which nanosleep has an address.
  return restart.args[0] < 4096 || restart.args[0] > ~uint64_t{0} >> 1 ? SYS_clock_nanosleep : SYS_nanosleep;
}

}  // namespace crx
