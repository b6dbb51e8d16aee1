// A stopped thread that makes system calls for us, batch after batch, without a ptrace stop in between.
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

// Enters the stub with the first batch and leaves it in leave() or when destroyed: then the thread is in a ptrace
// stop again with the registers and signal mask it had at construction. Signals stay blocked in between. If we die
// while it is in the stub, it heals itself (stub.S) within kHealAfter: undoes what `heal` lists and runs on.
// The thread must be stopped, the arena mapped in its process, and `slot` its own.
class RemoteThread {
 public:
  static constexpr int64_t kHealAfterMs = 2000;

  // heals: false for a thread that has nothing to go back to (a vessel's: it dies with us).
  RemoteThread(TracedThread& thread, RemoteArena& arena, std::size_t slot, bool heals = true);
  RemoteThread(RemoteThread&& other) noexcept;
  RemoteThread(const RemoteThread&) = delete;
  ~RemoteThread();

  // What a thread orphaned in the stub undoes before it runs on; empty by default. Stays valid until replaced.
  void set_healing(const RemoteBatch& heal);

  // Starts a batch and returns at once, so that many threads run theirs together; finish() waits for it.
  void start(const RemoteBatch& batch);
  void finish(Deadline deadline);
  // start + finish with a generous deadline. Results are in the batch; throws victim_gone if the thread died.
  void run(const RemoteBatch& batch);

  // The first steps of leave(), so that many threads can leave together: asks for the stop, waits for it.
  void interrupt();
  void await_stop();
  // Back to the ptrace stop, registers and mask as saved. Idempotent.
  void leave();
  // The registers the thread had when it came, and will have again: what a caller changes here, leave() sets.
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
  bool inside_ = false;   // has the stub's registers
  bool running_ = false;  // a batch is under way
};

// One system call of a stopped thread, made by a `syscall` instruction that its process has anyway, for the time when
// no arena is there. Registers and mask are the caller's to restore, the mask first: they are clobbered. If we die
// during it the thread goes on behind that instruction: see healing_frame.hpp.
struct BorrowedCall {
  TracedThread* thread = nullptr;
  uint64_t syscall_addr = 0;
  long nr = 0;
  std::array<uint64_t, 6> args{};
  uint64_t rsp = 0;                    // the stack pointer meanwhile, 0: as it is
  std::optional<int64_t> result = {};  // out: as the kernel gives it; nothing of one that has ended
};
// Each thread makes its call, all at the same time. Afterwards, also when it throws, every thread stands behind its
// call, but for those that have ended; then the first error is thrown.
void make_calls(std::span<BorrowedCall> calls);
// One of them. The raw kernel result.
int64_t call_at(TracedThread& thread, uint64_t syscall_addr, long nr, std::initializer_list<uint64_t> args,
                uint64_t rsp = 0);

}  // namespace crx
