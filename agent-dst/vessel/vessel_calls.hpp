// The process of a vessel, and the system calls that its threads make for the engine.
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

// How long a process that was told to stop may take for it.
inline constexpr int64_t kVesselStopMs = 10'000;

// Owns the process: the destructor kills it, unless it was released or has ended; PTRACE_O_EXITKILL kills it when the
// engine dies. Single-threaded: the thread that seized the process is its tracer and the only one that may use this.
// This class manages only the threads and their calls. VesselMemory, VesselDescriptors and VesselProcess manage the
// process's memory, descriptors and place in the tree, and make their calls through it.
class VesselCalls {
 public:
  static constexpr std::size_t kMostThreads = 4096;  // each has a mailbox in the arena
  static constexpr std::size_t kScratch = std::size_t{4} << 20;
  static std::size_t code_bytes() { return RemoteArena::code_bytes(kMostThreads); }
  static std::size_t data_bytes() { return RemoteArena::data_bytes(kMostThreads, kScratch); }

  // Creates the two memory objects of an arena and maps them in the engine. The process will have the code at `addr`
  // and the data right behind it. populate: see RemoteArena. Throws Error(kernel).
  VesselCalls(uint64_t addr, bool populate);
  VesselCalls(const VesselCalls&) = delete;
  VesselCalls& operator=(const VesselCalls&) = delete;
  ~VesselCalls();

  // --- birth ---
  // Takes ownership of a process. Its leader must be stopped and its only thread.
  void take(TracedThread leader);
  // Lets all threads make calls from here on. The arena must be mapped in the process.
  void open();
  // Adds a thread that was created later and is stopped. It can make calls after the next open().
  void take_thread(TracedThread thread);

  // 0 before take(), and after the process has ended or was released.
  pid_t pid() const noexcept { return pid_; }
  int pidfd() const noexcept { return pidfd_.get(); }
  const Fd& code_object() const noexcept { return code_object_; }
  const Fd& data_object() const noexcept { return data_object_; }
  RemoteArena& arena() noexcept { return arena_; }
  const RemoteArena& arena() const noexcept { return arena_; }
  std::size_t thread_count() const noexcept { return threads_.size(); }
  // For ptrace requests; the thread must not be running a batch. Thread 0 is the leader.
  TracedThread& traced(std::size_t index) { return threads_.at(index); }
  // For batches that this thread runs. Thread 0 is the leader.
  RemoteThread& thread(std::size_t index) { return *remotes_.at(index); }

  // --- calls of the leader ---
  // Returns an empty batch with room for `calls` calls; see ArenaScope for how long it is valid.
  RemoteBatch batch(std::size_t calls) { return RemoteBatch(arena_, calls); }
  // Runs the batch and checks every result that is not optional. Throws Error(kernel) that names the failed call,
  // Error(victim_gone) when the process has ended. An empty batch costs nothing.
  void run_checked(RemoteBatch& batch);
  // Runs a batch of one call. what: names the call in errors. Returns the call's result. Throws like run_checked().
  template <typename... Args>
  int64_t call(const char* what, long nr, Args... args) {
    const ArenaScope scratch(arena_);
    RemoteBatch one = batch(1);
    one.add(what, nr, args...);
    run_checked(one);
    return one.result(0);
  }
  // The same for a call whose failure is an expected outcome: returns the raw kernel result, -errno on failure.
  template <typename... Args>
  int64_t try_call(const char* what, long nr, Args... args) {
    const ArenaScope scratch(arena_);
    RemoteBatch one = batch(1);
    one.add_optional(what, nr, args...);
    run_checked(one);
    return one.result(0);
  }

  // --- the end of calls ---
  // Asks all threads to leave the stub, and does not wait, so that the threads of many vessels leave at the same time.
  void interrupt();
  // Waits until all threads are in a ptrace stop outside the stub, with the registers that they had before they entered
  // it. The next batch enters the stub again, which may have moved by then (RemoteArena::moved_to).
  void leave();
  // Calls leave(); no calls are possible afterwards. The arena is still mapped in the process.
  void close();
  // Clears PTRACE_O_EXITKILL on all threads: from here on the process survives the engine's end.
  void unleash();
  // Detaches all threads, which then run, or stay frozen by their cgroup. close() and unleash() must precede it.
  void release();
  // Notes that the process has ended: the destructor does not kill it.
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
