// The process behind a vessel, and the system calls that its threads make for us.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "common/base/fd.hpp"
#include "common/remote/arena.hpp"
#include "common/remote/batch.hpp"
#include "common/remote/remote_thread.hpp"
#include "common/remote/traced_thread.hpp"

namespace crx {

// Owns the process: destroying this kills it (PTRACE_O_EXITKILL does, too, if we die), unless it was released or has
// ended. Single-threaded; the thread that seized the process is its tracer and the only one that may use this.
// Knows nothing of what the process is: its memory, descriptors and place in the tree are VesselMemory,
// VesselDescriptors and VesselProcess, which make their calls here.
class VesselCalls {
 public:
  static constexpr std::size_t kMostThreads = 4096;  // a mailbox of the arena each
  static constexpr std::size_t kScratch = std::size_t{4} << 20;
  static std::size_t code_bytes() { return RemoteArena::code_bytes(kMostThreads); }
  static std::size_t data_bytes() { return RemoteArena::data_bytes(kMostThreads, kScratch); }

  // Makes the two objects of an arena and maps them here. The process is to have the code at `addr` and the data right
  // behind it. populate: see RemoteArena.
  VesselCalls(uint64_t addr, bool populate);
  VesselCalls(const VesselCalls&) = delete;
  VesselCalls& operator=(const VesselCalls&) = delete;
  ~VesselCalls();

  // --- birth ---
  // Takes over a process by its leader, which is stopped and its only thread.
  void take(TracedThread leader);
  // To be called when the arena is mapped in the process: from here on it can make calls.
  void open();
  // A thread that was created since, stopped. It makes calls after the next open().
  void take_thread(TracedThread thread);

  // 0 before take(), and when the process has ended or was released.
  pid_t pid() const noexcept { return pid_; }
  int pidfd() const noexcept { return pidfd_.get(); }
  const Fd& code_object() const noexcept { return code_object_; }
  const Fd& data_object() const noexcept { return data_object_; }
  RemoteArena& arena() noexcept { return arena_; }
  const RemoteArena& arena() const noexcept { return arena_; }
  std::size_t thread_count() const noexcept { return threads_.size(); }
  // Thread 0 is the leader. For ptrace; the thread must be in no batch.
  TracedThread& traced(std::size_t index) { return threads_.at(index); }
  // For batches of one thread.
  RemoteThread& thread(std::size_t index) { return *remotes_.at(index); }

  // --- calls of the leader ---
  // A batch with room for `calls`; see ArenaScope for how long it is valid.
  RemoteBatch batch(std::size_t calls) { return RemoteBatch(arena_, calls); }
  // Runs it and checks every result that is not optional: Error(kernel) names the call, Error(victim_gone) that the
  // process has ended. An empty batch costs nothing.
  void run_checked(RemoteBatch& batch);
  // A batch of one call. `what` names it in errors. Returns its result, or throws Error(kernel).
  template <typename... Args>
  int64_t call(const char* what, long nr, Args... args) {
    const ArenaScope scratch(arena_);
    RemoteBatch one = batch(1);
    one.add(what, nr, args...);
    run_checked(one);
    return one.result(0);
  }
  // The same where failing is an expected outcome: returns the raw kernel result, -errno on failure.
  template <typename... Args>
  int64_t try_call(const char* what, long nr, Args... args) {
    const ArenaScope scratch(arena_);
    RemoteBatch one = batch(1);
    one.add_optional(what, nr, args...);
    run_checked(one);
    return one.result(0);
  }

  // --- the end of calls ---
  // Asks all threads to leave the stub, and does not wait: so those of many vessels leave at the same time.
  void interrupt();
  // All threads are in a ptrace stop outside the stub afterwards, with the registers that they came with. The next
  // batch enters the stub again, which may lie elsewhere then (RemoteArena::moved_to).
  void leave();
  // leave(), after which no calls are possible. The arena is still mapped in the process.
  void close();
  // Clears PTRACE_O_EXITKILL on all threads: from here on the process outlives us.
  void unleash();
  // Detaches all threads, which then run, or stay frozen by their cgroup; after close() and unleash().
  void release();
  // The process has ended.
  void forget() noexcept { pid_ = 0; }

 private:
  pid_t pid_ = 0;
  Fd pidfd_;
  Fd code_object_, data_object_;
  RemoteArena arena_;
  std::deque<TracedThread> threads_;
  std::vector<std::unique_ptr<RemoteThread>> remotes_;
  bool interrupted_ = false;
};

}  // namespace crx
