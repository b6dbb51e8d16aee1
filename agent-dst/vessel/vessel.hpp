// A vessel: the process that becomes the moved task. It has the task's PID from the start and is traced with ptrace(2).
// Its address space is emptied, then mapped like the source's and filled while the source still runs.
#pragma once

#include <sys/types.h>

#include <csignal>
#include <cstdint>
#include <memory>
#include <vector>

#include "agent-dst/vessel/vessel_calls.hpp"
#include "agent-dst/vessel/vessel_descriptors.hpp"
#include "agent-dst/vessel/vessel_memory.hpp"
#include "agent-dst/vessel/vessel_process.hpp"

namespace crx {

struct VesselPlan {
  pid_t pid = 0;  // the PID to create it with (set_tid of clone3(2))
  pid_t sid = 0;  // session and process group as in the images; created where they equal `pid`
  pid_t pgid = 0;
  int cgroup_dir = -1;  // descriptor of the cgroup to start in (CLONE_INTO_CGROUP); -1: the engine's own; not owned
};

// Owns the process: the destructor kills it, unless it was released; PTRACE_O_EXITKILL kills it when the engine dies.
// Single-threaded: the engine's thread that created the vessel is its tracer. A vessel that no other vessel forked is a
// child of the engine's parent (CLONE_PARENT) and has the engine's exit signal.
//
// A vessel has three parts, each with a type of its own. Code that, for example, fills memory receives only that part
// and cannot touch the others. All parts make their system calls through the same VesselCalls. References to parts stay
// valid as long as the Vessel that returned them, or the Vessel that it was moved into.
class Vessel {
 public:
  // Creates the root of a tree. Must be called from a single-threaded process. Throws Error(refused) that names the
  // process which has the PID, when it is taken; Error(kernel) otherwise.
  static Vessel create(const VesselPlan& plan);
  // Forks a child of `from`, or a sibling of it (CLONE_PARENT), in the session and process group of `from`. Its address
  // space holds nothing but an arena of its own. pid: 0 lets the kernel choose. clone_flags: the resources that it
  // shares with `from` (sharing::). If it shares memory, it uses the address space of `from` and has no layout: calls
  // of VesselMemory must go to `from`. exit_signal: the signal that its parent gets when it ends, 0 for none; a sibling
  // always has that of `from`. Throws like create().
  enum class Relation { child, sibling };
  static Vessel fork(Vessel& from, pid_t pid, uint32_t clone_flags = 0, Relation relation = Relation::child,
                     uint32_t exit_signal = SIGCHLD);
  // The same, but the new vessel starts with the layout and the pages of `from`, copy-on-write.
  static Vessel fork_with_memory(Vessel& from, pid_t pid, Relation relation, uint32_t clone_flags = 0,
                                 uint32_t exit_signal = SIGCHLD);
  Vessel(Vessel&& other) noexcept;
  Vessel& operator=(Vessel&&) = delete;
  ~Vessel();

  // 0 when the process has ended or was released.
  pid_t pid() const noexcept { return calls_->pid(); }
  int pidfd() const noexcept { return calls_->pidfd(); }

  VesselProcess& process() noexcept;
  VesselMemory& memory() noexcept;
  VesselDescriptors& descriptors() noexcept;

  // System calls of the leader that belong to none of the three parts: see VesselCalls.
  RemoteArena& arena() noexcept { return calls_->arena(); }
  RemoteBatch batch(std::size_t calls) { return calls_->batch(calls); }
  void run_checked(RemoteBatch& batch) { calls_->run_checked(batch); }
  template <typename... Args>
  int64_t call(const char* what, long nr, Args... args) {
    return calls_->call(what, nr, args...);
  }
  template <typename... Args>
  int64_t try_call(const char* what, long nr, Args... args) {
    return calls_->try_call(what, nr, args...);
  }

 private:
  struct Parts;
  explicit Vessel(std::unique_ptr<Parts> parts) noexcept;
  static Vessel fork_process(Vessel& from, pid_t pid, uint32_t shared, Relation relation, uint32_t exit_signal);

  std::unique_ptr<Parts> parts_;
  VesselCalls* calls_;  // points into parts_
};

// Calls VesselProcess::close_arenas() for all these vessels at once.
void close_arenas(const std::vector<Vessel*>& vessels);

}  // namespace crx
