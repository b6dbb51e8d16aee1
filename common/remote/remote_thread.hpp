// A stopped thread that makes system calls for the agent, batch after batch, without a ptrace stop in between.
#pragma once

#include <sys/user.h>

#include <array>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>

#include "common/base/clock.hpp"
#include "common/remote/arena.hpp"
#include "common/remote/batch.hpp"
#include "common/remote/traced_thread.hpp"

namespace crx {

// The thread enters the stub with the first batch and leaves it in leave() or in the destructor; it is then in a ptrace
// stop again, with the registers and signal mask that it had at construction. Its signals are blocked in between. If
// the agent dies while the thread is in the stub, the thread recovers by itself (stub.S) within kHealAfterMs: it
// restores its registers and its mask and continues where it was stopped. The thread must be stopped, the arena mapped
// in its process, and `slot` used by no other thread.
class RemoteThread {
 public:
  static constexpr int64_t kHealAfterMs = 2000;

  // heals: false for a thread that has no previous state to return to (a thread of a vessel, which dies with the
  // agent).
  RemoteThread(TracedThread& thread, RemoteArena& arena, std::size_t slot, bool heals = true);
  RemoteThread(RemoteThread&& other) noexcept;
  RemoteThread(const RemoteThread&) = delete;
  ~RemoteThread();

  // Starts a batch and returns at once, so that many threads can run batches at the same time; finish() waits for its
  // end.
  void start(const RemoteBatch& batch);
  void finish(Deadline deadline);
  // start() and finish() with a generous deadline. The results are in the batch. Throws victim_gone if the thread died.
  void run(const RemoteBatch& batch);

  // The first steps of leave(), so that many threads can leave at the same time: interrupt() requests the stop,
  // await_stop() waits for it.
  void interrupt();
  void await_stop();
  // Returns the thread to the ptrace stop with the saved registers and mask. Idempotent.
  void leave();
  // The registers that the thread had at construction. leave() restores them, including any changes that the caller
  // makes here.
  user_regs_struct& saved_regs() noexcept { return regs_; }
  const user_regs_struct& saved_regs() const noexcept { return regs_; }
  uint64_t& saved_sigmask() noexcept { return sigmask_; }
  TracedThread& thread() noexcept { return *thread_; }

 private:
  void enter();
  void write_healing_registers();
  void arm_deadline();
  void check_alive();

  TracedThread* thread_;
  RemoteArena* arena_;
  std::size_t slot_;
  user_regs_struct regs_;
  uint64_t sigmask_;
  bool heals_ = true;
  bool inside_ = false;   // the thread has the stub's registers
  bool running_ = false;  // a batch is running
};

// One system call of a stopped thread, made at a `syscall` instruction that exists in its process, for use when there
// is no arena. The call overwrites registers and signal mask; the caller must restore them, the mask first. If the
// agent dies during the call, the thread continues behind that instruction: see healing_frame.hpp.
struct BorrowedCall {
  TracedThread* thread = nullptr;
  uint64_t syscall_addr = 0;
  long nr = 0;
  std::array<uint64_t, 6> args{};
  uint64_t rsp = 0;                    // the stack pointer during the call; 0 leaves it unchanged
  std::optional<int64_t> result = {};  // out: the raw kernel result; nullopt when the thread has ended
};
// All threads make their calls at the same time. Afterwards, also when this throws, every thread that has not ended is
// stopped behind its call; the first error is then thrown.
void make_calls(std::span<BorrowedCall> calls);
// A single call; returns the raw kernel result.
int64_t call_at(TracedThread& thread, uint64_t syscall_addr, long nr, std::initializer_list<uint64_t> args,
                uint64_t rsp = 0);

}  // namespace crx
