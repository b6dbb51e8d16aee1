#include "common/remote/traced_thread.hpp"

#include <cpuid.h>
#include <elf.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/ptrace.h>
#include <sched.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include "common/base/backoff.hpp"
#include "common/base/error.hpp"
#include "common/base/fd.hpp"
#include "common/base/log.hpp"
#include "common/proc/proc_dir.hpp"
#include "common/proc/stat.hpp"
#include "common/proc/status.hpp"

#ifndef PTRACE_SET_SYSCALL_USER_DISPATCH_CONFIG  // Linux 6.4
#define PTRACE_SET_SYSCALL_USER_DISPATCH_CONFIG 0x4210
#define PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG 0x4211
#endif

namespace crx {
namespace {

constexpr std::size_t kXstateMax = 64 * 1024;
constexpr unsigned kSignalsPerPeek = 64;
constexpr int kAwakeTurns = 30;

// ptrace(2) through syscall(2): glibc's variadic prototype takes an enum that lacks the newer requests.
long raw_ptrace(int request, pid_t tid, uint64_t addr, uint64_t data) {
  return ::syscall(SYS_ptrace, request, tid, addr, data);
}

uint64_t as_word(const void* pointer) {
  return reinterpret_cast<uint64_t>(pointer);
}

void checked_ptrace(int request, pid_t tid, uint64_t addr, uint64_t data, const char* what) {
  if (raw_ptrace(request, tid, addr, data) < 0) throw_errno(what, "thread " + std::to_string(tid));
}

// waitpid(2) for a stop that comes within microseconds. It polls first, since a wake-up from sleep takes longer than
// the stop.
int wait_awake(pid_t tid) {
  int raw = 0;
  pid_t got = 0;
  for (int turn = 0; got == 0 && turn < kAwakeTurns; ++turn) {
    got = ::waitpid(tid, &raw, __WALL | WNOHANG);
    if (got == 0) ::sched_yield();
  }
  if (got == 0) got = ::waitpid(tid, &raw, __WALL);
  if (got < 0) throw_gone(tid, "making a system call in the task");
  return raw;
}

// True for a zombie or a thread that is exiting: it can no longer be traced.
bool has_ended(pid_t tid) {
  const std::optional<ProcDir> thread = ProcDir::open(tid);
  const std::optional<proc::Stat> stat = thread ? thread->stat() : std::nullopt;
  errno = EPERM;
  return !stat || stat->state == 'Z' || stat->state == 'X';
}

uint64_t options_of(TracedThread::Kind kind, bool suspend_seccomp) {
  uint64_t options = PTRACE_O_TRACESYSGOOD;
  if (kind == TracedThread::Kind::vessel) options |= PTRACE_O_EXITKILL;
  if (suspend_seccomp) options |= PTRACE_O_SUSPEND_SECCOMP;
  return options;
}

// The address of a fault, for the log. It is the first thing to know when a vessel dies.
std::string fault_text(pid_t tid, const WaitStatus& status) {
  const int signal = status.signal();
  if (!status.signal_delivery() || (signal != SIGSEGV && signal != SIGBUS && signal != SIGILL && signal != SIGSYS))
    return {};
  siginfo_t info{};
  user_regs_struct regs{};
  iovec iov{&regs, sizeof regs};
  raw_ptrace(PTRACE_GETSIGINFO, tid, 0, as_word(&info));
  raw_ptrace(PTRACE_GETREGSET, tid, NT_PRSTATUS, as_word(&iov));
  return fmt::format(", code {} addr {:#x}, rip {:#x} rsp {:#x} rax {:#x} r13 {:#x} r14 {:#x} r15 {:#x}", info.si_code,
                     as_word(info.si_addr), static_cast<uint64_t>(regs.rip), static_cast<uint64_t>(regs.rsp),
                     static_cast<uint64_t>(regs.rax), static_cast<uint64_t>(regs.r13), static_cast<uint64_t>(regs.r14),
                     static_cast<uint64_t>(regs.r15));
}

[[noreturn]] void throw_untraceable(pid_t tid) {
  const std::string thread = "thread " + std::to_string(tid);
  const std::optional<ProcDir> traced = ProcDir::open(tid);
  const std::optional<proc::Status> status = traced ? traced->status() : std::nullopt;
  const pid_t tracer = status ? status->tracer_pid : 0;
  if (tracer == 0) {
    throw Error(ErrorCode::refused, "attaching", thread + " may not be traced", EPERM)
        .with_hint("another has just traced it (try again), or CAP_SYS_PTRACE is missing");
  }
  const std::string name = comm_of(tracer);
  throw Error(ErrorCode::refused, "attaching", fmt::format("{} is traced by process {} ({})", thread, tracer, name))
      .with_hint(name.starts_with("crx-") ? "try again when that is done" : "end that debugger first");
}

}  // namespace

std::optional<TracedThread> TracedThread::try_seize(pid_t tid, Kind kind, bool suspend_seccomp) {
  // A thread can have seccomp filters that the first thread of its process does not have, so they are suspended in any
  // case if we may (CAP_SYS_ADMIN).
  const auto seize = [&](bool suspend) { return raw_ptrace(PTRACE_SEIZE, tid, 0, options_of(kind, suspend)) == 0; };
  const bool try_first = kind == Kind::victim && !suspend_seccomp;
  if (!(try_first && seize(true)) && !seize(suspend_seccomp)) {
    if (errno == ESRCH) return std::nullopt;
    if (errno == EPERM && has_ended(tid)) return std::nullopt;
    if (errno == EPERM) throw_untraceable(tid);
    throw_errno("attaching", "thread " + std::to_string(tid));
  }
  return TracedThread(tid);
}

TracedThread TracedThread::adopt(pid_t tid, Kind kind, Deadline deadline) {
  TracedThread thread(tid);
  if (!thread.wait_stopped(deadline)) {
    throw Error(ErrorCode::kernel, "adopting a thread", "thread " + std::to_string(tid) + " did not stop");
  }
  thread.set_options(kind, false);
  return thread;
}

TracedThread::TracedThread(TracedThread&& other) noexcept
    : tid_(std::exchange(other.tid_, 0)), stopped_(other.stopped_), group_stop_(other.group_stop_) {}

TracedThread& TracedThread::operator=(TracedThread&& other) noexcept {
  std::swap(tid_, other.tid_);
  std::swap(stopped_, other.stopped_);
  std::swap(group_stop_, other.group_stop_);
  return *this;
}

TracedThread::~TracedThread() {
  if (tid_ == 0) return;
  try {
    if (!stopped_) {
      interrupt();
      if (!wait_stopped(Deadline::in_ms(1000))) return;
    }
    detach();
  } catch (const std::exception& error) {
    log::debug("cannot detach from thread {}: {}", tid_, error.what());
  }
}

void TracedThread::interrupt() {
  checked_ptrace(PTRACE_INTERRUPT, tid_, 0, 0, "stopping");
}

bool TracedThread::wait_stopped(Deadline deadline) {
  // waitpid has no timeout, hence the polling.
  for (Backoff backoff; !stopped_;) {
    int raw = 0;
    const pid_t got = ::waitpid(tid_, &raw, __WALL | WNOHANG);
    if (got < 0 && errno == ECHILD) throw_gone(tid_, "stopping");
    if (got < 0 && errno != EINTR) throw_errno("stopping", "thread " + std::to_string(tid_));
    if (got == tid_) {
      const WaitStatus status(raw);
      if (status.exited()) {
        const pid_t tid = std::exchange(tid_, 0);
        throw_gone(tid, "stopping");
      }
      if (status.event_stop()) {
        stopped_ = true;
        group_stop_ = status.group_stop() ? status.signal() : 0;
        break;
      }
      const auto signal = status.signal_delivery() ? static_cast<uint64_t>(status.signal()) : 0;
      log::debug("thread {}: {} before its stop{}", tid_, status.text(), fault_text(tid_, status));
      checked_ptrace(PTRACE_CONT, tid_, 0, signal, "delivering a signal");
      continue;
    }
    if (deadline.passed()) return false;
    backoff.wait();
  }
  return true;
}

void TracedThread::get_regset(int type, void* data, std::size_t& bytes, const char* what) const {
  iovec iov{data, bytes};
  checked_ptrace(PTRACE_GETREGSET, tid_, static_cast<uint64_t>(type), as_word(&iov), what);
  bytes = iov.iov_len;
}

user_regs_struct TracedThread::regs() const {
  user_regs_struct regs{};
  std::size_t bytes = sizeof regs;
  get_regset(NT_PRSTATUS, &regs, bytes, "reading registers");
  if (bytes != sizeof regs) {
    throw Error(ErrorCode::unsupported, "reading registers", "thread " + std::to_string(tid_) + " runs 32-bit code")
        .with_hint("crx moves only 64-bit tasks");
  }
  return regs;
}

void TracedThread::set_regs(const user_regs_struct& regs) {
  iovec iov{const_cast<user_regs_struct*>(&regs), sizeof regs};
  checked_ptrace(PTRACE_SETREGSET, tid_, NT_PRSTATUS, as_word(&iov), "setting registers");
}

std::vector<std::byte> TracedThread::xstate() const {
  // The largest possible area would have to be zeroed for every thread; CPUID reports the actual size.
  static const std::size_t expected = [] {
    unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
    return __get_cpuid_count(0xd, 0, &eax, &ebx, &ecx, &edx) == 0 ? kXstateMax : std::size_t{ecx};
  }();
  for (std::size_t room = expected;; room = kXstateMax) {
    std::vector<std::byte> bytes(room + sizeof(uint64_t));
    std::size_t size = bytes.size();
    get_regset(NT_X86_XSTATE, bytes.data(), size, "reading xstate");
    if (size == bytes.size() && room < kXstateMax) continue;
    bytes.resize(size);
    return bytes;
  }
}

void TracedThread::set_xstate(std::span<const std::byte> bytes) {
  iovec iov{const_cast<std::byte*>(bytes.data()), bytes.size()};
  checked_ptrace(PTRACE_SETREGSET, tid_, NT_X86_XSTATE, as_word(&iov), "setting xstate");
}

uint64_t TracedThread::blocked_signals() const {
  uint64_t mask = 0;
  checked_ptrace(PTRACE_GETSIGMASK, tid_, sizeof mask, as_word(&mask), "reading the signal mask");
  return mask;
}

void TracedThread::set_blocked_signals(uint64_t mask) {
  checked_ptrace(PTRACE_SETSIGMASK, tid_, sizeof mask, as_word(&mask), "setting the signal mask");
}

std::vector<siginfo_t> TracedThread::pending_signals(bool shared) const {
  std::vector<siginfo_t> all;
  for (;;) {
    siginfo_t infos[kSignalsPerPeek];
    __ptrace_peeksiginfo_args args{};
    args.off = all.size();
    args.flags = shared ? PTRACE_PEEKSIGINFO_SHARED : 0;
    args.nr = static_cast<int>(kSignalsPerPeek);
    const long got = raw_ptrace(PTRACE_PEEKSIGINFO, tid_, as_word(&args), as_word(infos));
    if (got < 0) throw_errno("reading pending signals", "thread " + std::to_string(tid_));
    all.insert(all.end(), infos, infos + got);
    if (got < static_cast<long>(kSignalsPerPeek)) return all;
  }
}

RseqConfiguration TracedThread::rseq() const {
  RseqConfiguration config{};
  if (raw_ptrace(0x420f /* PTRACE_GET_RSEQ_CONFIGURATION */, tid_, sizeof config, as_word(&config)) < 0) {
    if (errno == EIO || errno == EINVAL) return {};  // the kernel does not support the request
    throw_errno("reading the rseq registration", "thread " + std::to_string(tid_));
  }
  return config;
}

SyscallUserDispatch TracedThread::user_dispatch() const {
  SyscallUserDispatch config{};
  if (raw_ptrace(PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG, tid_, sizeof config, as_word(&config)) < 0) {
    if (errno == EIO || errno == EINVAL) return {};
    throw_errno("reading syscall user dispatch", "thread " + std::to_string(tid_));
  }
  return config;
}

void TracedThread::set_user_dispatch(const SyscallUserDispatch& config) {
  checked_ptrace(PTRACE_SET_SYSCALL_USER_DISPATCH_CONFIG, tid_, sizeof config, as_word(&config),
                 "setting syscall user dispatch");
}

std::optional<std::vector<std::byte>> TracedThread::seccomp_filter(unsigned index) const {
  const long count = raw_ptrace(PTRACE_SECCOMP_GET_FILTER, tid_, index, 0);
  if (count < 0 && (errno == ENOENT || errno == EINVAL)) return std::nullopt;
  if (count < 0) throw_errno("reading a seccomp filter", "thread " + std::to_string(tid_));
  std::vector<std::byte> program(static_cast<std::size_t>(count) * 8);  // sizeof(struct sock_filter)
  checked_ptrace(PTRACE_SECCOMP_GET_FILTER, tid_, index, as_word(program.data()), "reading a seccomp filter");
  return program;
}

std::optional<uint64_t> TracedThread::seccomp_filter_flags(unsigned index) const {
  struct {
    uint64_t filter_off;
    uint64_t flags;
  } metadata{index, 0};
  const long got = raw_ptrace(0x420d /* PTRACE_SECCOMP_GET_METADATA */, tid_, sizeof metadata, as_word(&metadata));
  if (got < 0) return std::nullopt;
  return metadata.flags;
}

void TracedThread::resume() {
  checked_ptrace(PTRACE_CONT, tid_, 0, 0, "resuming");
  stopped_ = false;
  group_stop_ = 0;
}

void TracedThread::step_over_syscall() {
  for (int stops = 0; stops < 2; ++stops) {
    begin_step();
    await_step();
  }
}

void TracedThread::begin_step() {
  checked_ptrace(PTRACE_SYSCALL, tid_, 0, 0, "making a system call in the task");
}

void TracedThread::await_step() {
  for (;;) {
    const WaitStatus status(wait_awake(tid_));
    if (status.exited()) {
      const pid_t tid = std::exchange(tid_, 0);
      throw_gone(tid, "making a system call in the task");
    }
    if (const std::string fault = fault_text(tid_, status); !fault.empty()) {
      throw Error(ErrorCode::bug, "making a system call in the task", status.text() + fault);
    }
    if (status.syscall_stop()) return;
    begin_step();
  }
}

void TracedThread::begin_syscall() {
  checked_ptrace(PTRACE_SYSCALL, tid_, 0, 0, "making a system call in the task");
  stopped_ = false;
  for (Backoff backoff; !syscall_over();) backoff.wait();
  checked_ptrace(PTRACE_SYSCALL, tid_, 0, 0, "making a system call in the task");
  stopped_ = false;
}

bool TracedThread::syscall_over() {
  if (stopped_) return true;
  int raw = 0;
  const pid_t got = ::waitpid(tid_, &raw, __WALL | WNOHANG);
  if (got < 0) throw_gone(tid_, "making a system call in the task");
  if (got == 0) return false;
  const WaitStatus status(raw);
  if (status.exited()) {
    const pid_t tid = std::exchange(tid_, 0);
    throw_gone(tid, "making a system call in the task");
  }
  if (status.syscall_stop()) {
    stopped_ = true;
    return true;
  }
  checked_ptrace(PTRACE_SYSCALL, tid_, 0, 0, "making a system call in the task");
  return false;
}

void TracedThread::settle() {
  interrupt();
  resume();
  if (!wait_stopped(Deadline::in_ms(10'000))) {
    throw Error(ErrorCode::kernel, "stopping", "thread " + std::to_string(tid_) + " does not stop");
  }
}

void TracedThread::run_to_end() {
  uint64_t signal = 0;
  for (;;) {
    // ESRCH: a SIGKILL has already ended its stop.
    if (raw_ptrace(PTRACE_CONT, tid_, 0, std::exchange(signal, 0)) < 0 && errno != ESRCH) {
      throw_errno("ending a process", "thread " + std::to_string(tid_));
    }
    const WaitStatus status(wait_awake(tid_));
    if (status.exited()) break;
    if (status.signal_delivery()) signal = static_cast<uint64_t>(status.signal());
  }
  tid_ = 0;
}

void TracedThread::set_options(Kind kind, bool suspend_seccomp) {
  checked_ptrace(PTRACE_SETOPTIONS, tid_, 0, options_of(kind, suspend_seccomp), "setting trace options");
}

void TracedThread::detach() {
  checked_ptrace(PTRACE_DETACH, tid_, 0, 0, "detaching");
  tid_ = 0;
}

}  // namespace crx
