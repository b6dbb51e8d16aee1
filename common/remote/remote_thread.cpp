#include "common/remote/remote_thread.hpp"

#include <linux/futex.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <exception>
#include <utility>
#include <vector>

#include "common/base/error.hpp"
#include "common/base/log.hpp"
#include "common/remote/healing_frame.hpp"

namespace crx {
namespace {

constexpr uint32_t kFutex32 = 2;  // FUTEX_32
constexpr int64_t kBatchDeadlineMs = 60'000;
constexpr int64_t kForeverSec = int64_t{1} << 32;
constexpr int kSpins = 2000;
constexpr int64_t kSliceNs = 2'000'000;

stub::Mailbox& box_of(RemoteArena& arena, std::size_t slot) {
  return *reinterpret_cast<stub::Mailbox*>(arena.mailbox(slot));
}

long futex(uint32_t* word, int op, uint32_t value, const timespec* timeout) {
  return ::syscall(SYS_futex, word, op, value, timeout, nullptr, 0);
}

}  // namespace

RemoteThread::RemoteThread(TracedThread& thread, RemoteArena& arena, std::size_t slot, bool heals)
    : thread_(&thread),
      arena_(&arena),
      slot_(slot),
      regs_(thread.regs()),
      sigmask_(thread.blocked_signals()),
      heals_(heals) {
  std::memset(arena.mailbox(slot), 0, sizeof(stub::Mailbox));
}

RemoteThread::RemoteThread(RemoteThread&& other) noexcept
    : thread_(std::exchange(other.thread_, nullptr)),
      arena_(other.arena_),
      slot_(other.slot_),
      regs_(other.regs_),
      sigmask_(other.sigmask_),
      heals_(other.heals_),
      inside_(other.inside_),
      running_(other.running_) {}

RemoteThread::~RemoteThread() {
  if (thread_ == nullptr) return;
  try {
    leave();
  } catch (const std::exception& error) {
    log::debug("thread {} cannot leave the stub: {}", thread_->tid(), error.what());
  }
}

void RemoteThread::arm_deadline() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  stub::Mailbox& box = box_of(*arena_, slot_);
  box.deadline_sec = static_cast<uint64_t>(now.tv_sec + (heals_ ? kHealAfterMs / 1000 : kForeverSec));
  box.deadline_nsec = static_cast<uint64_t>(now.tv_nsec);
}

// Prepares the registers with which the thread continues by itself if the agent dies.
void RemoteThread::write_healing_registers() {
  const user_regs_struct r = resumed_regs(regs_);
  stub::Mailbox& box = box_of(*arena_, slot_);
  box.sigmask = sigmask_;
  box.regs = {r.r14,
              r.r13,
              r.r12,
              r.rbp,
              r.rbx,
              r.r11,
              r.r10,
              r.r9,
              r.r8,
              r.rax,
              r.rcx,
              r.rdx,
              r.rsi,
              r.rdi,
              r.eflags,
              r.rsp,
              arena_->landing_addr(slot_)};
  stub::Landing landing;
  landing.r15 = r.r15;
  landing.rsp = r.rsp;
  landing.rip = r.rip;
  std::memcpy(arena_->landing(slot_), &landing, sizeof landing);
}

void RemoteThread::enter() {
  stub::Mailbox& box = box_of(*arena_, slot_);
  box.waiter = {0, arena_->mailbox_addr(slot_) + offsetof(stub::Mailbox, go), kFutex32, 0};
  write_healing_registers();
  user_regs_struct stub_regs = regs_;
  stub_regs.rip = arena_->code_addr();
  stub_regs.r15 = arena_->mailbox_addr(slot_);
  stub_regs.orig_rax = ~0ULL;  // prevents the kernel from restarting a system call
  stub_regs.eflags &= ~0x400ULL;
  // set before the signal mask: if the agent dies between the two, the stub restores the mask
  thread_->set_regs(stub_regs);
  thread_->set_blocked_signals(~0ULL);
  inside_ = true;
}

void RemoteThread::start(const RemoteBatch& batch) {
  stub::Mailbox& box = box_of(*arena_, slot_);
  box.count = batch.size();
  box.table = batch.table_addr().addr();
  box.done = 0;
  arm_deadline();
  running_ = true;
  if (!inside_) {
    enter();
    thread_->resume();
    return;
  }
  std::atomic_ref<uint32_t>(box.go).store(1, std::memory_order_release);
  futex(&box.go, FUTEX_WAKE, 1, nullptr);
}

void RemoteThread::check_alive() {
  // wait_stopped() handles both a stop that was not requested and the end of the thread. An unrequested stop is
  // resumed: in the stub only SIGSTOP and SIGKILL can reach the thread.
  if (thread_->wait_stopped(Deadline::in_ms(0))) thread_->resume();
}

void RemoteThread::finish(Deadline deadline) {
  stub::Mailbox& box = box_of(*arena_, slot_);
  std::atomic_ref<uint32_t> done(box.done);
  std::atomic_ref<uint64_t> healing(box.healing);
  for (int i = 0; i < kSpins && done.load(std::memory_order_acquire) == 0; ++i) __builtin_ia32_pause();
  while (done.load(std::memory_order_acquire) == 0) {
    const timespec slice{0, kSliceNs};
    futex(&box.done, FUTEX_WAIT, 0, &slice);
    if (done.load(std::memory_order_acquire) != 0 || healing.load(std::memory_order_acquire) != 0) break;
    check_alive();
    if (deadline.passed()) {
      throw Error(ErrorCode::kernel, "running a remote batch",
                  "thread " + std::to_string(thread_->tid()) + " did not finish its system calls in time");
    }
    arm_deadline();
  }
  running_ = false;
  if (healing.load(std::memory_order_acquire) != 0) {
    throw Error(ErrorCode::kernel, "running a remote batch",
                "thread " + std::to_string(thread_->tid()) + " waited too long for crx and has resumed its program")
        .with_hint("try again when this host is less busy");
  }
}

void RemoteThread::run(const RemoteBatch& batch) {
  start(batch);
  finish(Deadline::in_ms(kBatchDeadlineMs));
}

void RemoteThread::interrupt() {
  if (inside_ && !thread_->stopped()) thread_->interrupt();
}

void RemoteThread::await_stop() {
  if (!inside_ || thread_->stopped()) return;
  if (!thread_->wait_stopped(Deadline::in_ms(kBatchDeadlineMs))) {
    throw Error(ErrorCode::kernel, "leaving the stub", "thread " + std::to_string(thread_->tid()) + " does not stop");
  }
}

void RemoteThread::leave() {
  if (!inside_) return;
  interrupt();
  await_stop();
  const bool healed = box_of(*arena_, slot_).healing != 0;
  inside_ = false;
  if (healed) {
    throw Error(ErrorCode::bug, "leaving the stub",
                "thread " + std::to_string(thread_->tid()) + " has already resumed its program");
  }
  thread_->set_blocked_signals(sigmask_);
  thread_->set_regs(regs_);
}

namespace {

void set_up(const BorrowedCall& call) {
  user_regs_struct regs = call.thread->regs();
  regs.rip = call.syscall_addr;
  regs.rax = static_cast<uint64_t>(call.nr);
  regs.orig_rax = ~0ULL;
  regs.rdi = call.args[0];
  regs.rsi = call.args[1];
  regs.rdx = call.args[2];
  regs.r10 = call.args[3];
  regs.r8 = call.args[4];
  regs.r9 = call.args[5];
  if (call.rsp != 0) regs.rsp = call.rsp;
  call.thread->set_regs(regs);
  call.thread->set_blocked_signals(~0ULL);
}

}  // namespace

void make_calls(std::span<BorrowedCall> calls) {
  std::exception_ptr error;
  std::vector<bool> failed(calls.size());
  // A thread whose step fails is left out of the later steps; the other threads first complete their calls.
  const auto each = [&](auto&& step) {
    for (std::size_t i = 0; i < calls.size(); ++i) {
      if (failed[i]) continue;
      try {
        step(calls[i]);
      } catch (const Error&) {  // the first one is rethrown below
        failed[i] = true;
        if (!error) error = std::current_exception();
      }
    }
  };
  each([](BorrowedCall& call) {
    set_up(call);
    call.thread->begin_step();
  });
  each([](BorrowedCall& call) {
    call.thread->await_step();
    call.thread->begin_step();
  });
  each([](BorrowedCall& call) {
    call.thread->await_step();
    call.result = static_cast<int64_t>(call.thread->regs().rax);
  });
  if (error) std::rethrow_exception(error);
}

int64_t call_at(TracedThread& thread, uint64_t syscall_addr, long nr, std::initializer_list<uint64_t> args,
                uint64_t rsp) {
  BorrowedCall call{&thread, syscall_addr, nr, {}, rsp};
  std::copy(args.begin(), args.end(), call.args.begin());
  make_calls({&call, 1});
  return *call.result;
}

}  // namespace crx
