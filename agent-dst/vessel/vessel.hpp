// A vessel: the process that becomes the moved task. It has the right PID from the start and is stopped under
// ptrace; its address space is emptied, mapped like the source's and filled while the source still runs.
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
  pid_t pid = 0;  // wanted; set_tid of clone3(2)
  pid_t sid = 0;  // session and process group as in the images; where they are the task's own they are made
  pid_t pgid = 0;
  int cgroup_dir = -1;  // CLONE_INTO_CGROUP, -1 for none
};

// Owns the process: destroying a Vessel kills it (PTRACE_O_EXITKILL besides), unless it was released. Single-threaded.
// The engine's thread that created it is its tracer. A vessel's parent is our own parent (CLONE_PARENT), its exit
// signal ours, unless another vessel forked it.
//
// It has three parts, which are types of their own, so that who fills memory cannot touch the rest: hand on the part
// that is meant. All of them make their system calls by way of the same VesselCalls. Parts are valid as long as the
// Vessel that they were asked of, or what it was moved to.
class Vessel {
 public:
  // The root of a tree. Must be called from a single-threaded process. Error(refused) naming the process that has the
  // PID, when it is taken.
  static Vessel create(const VesselPlan& plan);
  // A child of another vessel, or of that one's parent, in whose session and process group it is. It has nothing but an
  // arena of its own. pid 0: any number. Errors as above. clone_flags: what it shares with that vessel (sharing::).
  // With memory, it has that and no layout: all that is said of memory here goes to the other vessel. exit_signal: what
  // the parent is sent when it ends, 0 for nothing; a sibling has that of `from`.
  enum class Relation { child, sibling };
  static Vessel fork(Vessel& from, pid_t pid, uint32_t clone_flags = 0, Relation relation = Relation::child,
                     uint32_t exit_signal = SIGCHLD);
  // The same, which starts with the other's layout and pages; both share them until one of them is written. Errors as
  // above.
  static Vessel fork_with_memory(Vessel& from, pid_t pid, Relation relation, uint32_t clone_flags = 0,
                                 uint32_t exit_signal = SIGCHLD);
  Vessel(Vessel&& other) noexcept;
  Vessel& operator=(Vessel&&) = delete;
  ~Vessel();

  // 0 when it has ended or was released.
  pid_t pid() const noexcept { return calls_->pid(); }
  int pidfd() const noexcept { return calls_->pidfd(); }

  VesselProcess& process() noexcept;
  VesselMemory& memory() noexcept;
  VesselDescriptors& descriptors() noexcept;

  // Remote calls of the leader, for what is neither of the three: see VesselCalls.
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
  VesselCalls* calls_;  // of parts_
};

// VesselProcess::close_arenas() of many.
void close_arenas(const std::vector<Vessel*>& vessels);

}  // namespace crx
