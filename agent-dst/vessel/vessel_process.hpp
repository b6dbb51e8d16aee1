// A vessel as a process: its place in the tree, its threads, and its end.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <vector>

#include "agent-dst/vessel/vessel_calls.hpp"
#include "agent-dst/vessel/vessel_descriptors.hpp"
#include "agent-dst/vessel/vessel_memory.hpp"
#include "common/remote/batch.hpp"
#include "common/remote/remote_thread.hpp"
#include "common/remote/traced_thread.hpp"

namespace crx {

// Converts bits of sharing:: (common/kernel/process/kcmp.hpp), the resources that processes share, to flags of
// clone(2).
uint64_t clone_flags_for(uint32_t shared);

// The functions must be called in the order of the sections below. When a function throws, the vessel can only be
// destroyed afterwards. Single-threaded, on the tracer's thread.
class VesselProcess {
 public:
  // clone_flags: the resources that it shares with the process that forked it (sharing::). All references must outlive
  // this object.
  VesselProcess(VesselCalls& calls, VesselDescriptors& descriptors, VesselMemory& memory, uint32_t clone_flags)
      : calls_(calls), descriptors_(descriptors), memory_(memory), clone_flags_(clone_flags) {}

  uint32_t clone_flags() const noexcept { return clone_flags_; }

  // --- place in the tree ---
  // Makes it lead a session and a process group of its own (setsid(2)). Processes that it forks afterwards are in them.
  void lead_session();
  // Makes `terminal`, the engine's descriptor of a terminal, its controlling terminal (TIOCSCTTY). Has no effect where
  // it is that already.
  void control_terminal(int terminal);
  // Stops sharing descriptors or directories (bits of sharing::): it keeps a copy of its own (unshare(2)).
  void unshare(uint32_t shared);
  // Moves it into a process group (setpgid(2)).
  void enter_group(pid_t pgid);
  // Makes it a subreaper, or no longer (PR_SET_CHILD_SUBREAPER).
  void adopt_orphans(bool adopt);
  // Ends the vessel, which becomes a zombie with the name `comm`. status: as waitpid(2) reports it to the parent. No
  // calls are possible afterwards, and pid() is 0.
  void die(int status, const std::string& comm);
  // Makes the vessel wait for a child that has ended, and so removes the zombie. The SIGCHLD stays pending until
  // forget_children().
  void reap(pid_t child);
  // Removes the pending SIGCHLD that came from children which ended while the tree was built.
  void forget_children();

  // --- threads ---
  // Creates the other threads, with the TIDs of the images, by clone3(2) with CLONE_PTRACE. All are stopped afterwards.
  // Throws Error(refused) that names a TID which is taken, Error(unsupported) for more than VesselCalls::kMostThreads.
  void create_threads(const std::vector<pid_t>& tids);
  std::size_t thread_count() const noexcept { return calls_.thread_count(); }
  // Thread 0 is the leader; before create_threads() there is no other.
  RemoteThread& thread(std::size_t index) { return calls_.thread(index); }
  TracedThread& traced(std::size_t index) { return calls_.traced(index); }

  // --- the end of calls ---
  // Makes all threads leave the stub and unmaps the arenas, in many vessels at the same time. No calls are possible
  // afterwards, and registers can be set through traced().
  static void close_arenas(const std::vector<VesselProcess*>& processes);
  // Makes one system call of the leader after close_arenas(). Its last argument, after `args`, is the address of a copy
  // of `object` (`bytes` long), which is placed below the stack during the call. Registers, signal mask and memory are
  // unchanged afterwards. Returns the raw kernel result.
  int64_t post_arena_call(long nr, std::initializer_list<uint64_t> args, const void* object, std::size_t bytes);
  // Clears PTRACE_O_EXITKILL on all threads: from here on the process survives the engine's end.
  void unleash() { calls_.unleash(); }
  // Calls unleash() and detaches all threads. The process then runs, or stays frozen by its cgroup, and pid() is 0.
  void release();

 private:
  void start_closing();
  void stop_calls();
  void leave_arena(std::vector<BorrowedCall>& first, std::vector<BorrowedCall>& second);

  VesselCalls& calls_;
  VesselDescriptors& descriptors_;
  VesselMemory& memory_;
  uint32_t clone_flags_;
  std::optional<RemoteBatch> closing_;  // the last batch, which is still running
};

}  // namespace crx
