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

// The flags of clone(2) for what processes share (sharing::, common/kernel/process/kcmp.hpp).
uint64_t clone_flags_for(uint32_t shared);

// Calls come in the order of the sections. A function that throws leaves a vessel that can only be destroyed.
class VesselProcess {
 public:
  // clone_flags: what it shares with the process that forked it (sharing::).
  VesselProcess(VesselCalls& calls, VesselDescriptors& descriptors, VesselMemory& memory, uint32_t clone_flags)
      : calls_(calls), descriptors_(descriptors), memory_(memory), clone_flags_(clone_flags) {}

  uint32_t clone_flags() const noexcept { return clone_flags_; }

  // --- place in the tree ---
  // setsid(2): it leads a session and a group of its own. Those that are forked from then on are in it.
  void lead_session();
  // TIOCSCTTY of our descriptor of a terminal; no effect where it is the controlling terminal already.
  void control_terminal(int terminal);
  // unshare(2) of descriptors or directories (sharing::): from here on they are its own, as they are.
  void unshare(uint32_t shared);
  // setpgid(2).
  void enter_group(pid_t pgid);
  // prctl(PR_SET_CHILD_SUBREAPER).
  void adopt_orphans(bool adopt);
  // Ends the vessel, which becomes a zombie of its parent's: with the status as waitpid(2) gives it, and that name. No
  // calls are possible afterwards, and pid() is 0.
  void die(int status, const std::string& comm);
  // Waits, in the vessel, for a child that has ended for good; the signals of such ends are dropped by
  // forget_children().
  void reap(pid_t child);
  // Takes the SIGCHLD out of its queue that building the tree put there.
  void forget_children();

  // --- threads ---
  // Creates the other threads with the TIDs of the images (clone3(2), CLONE_PTRACE); all stopped. Error(refused) names
  // a TID that is taken, Error(unsupported) says that there are more than VesselCalls::kMostThreads.
  void create_threads(const std::vector<pid_t>& tids);
  std::size_t thread_count() const noexcept { return calls_.thread_count(); }
  // Thread 0 is the leader; before create_threads() there is no other.
  RemoteThread& thread(std::size_t index) { return calls_.thread(index); }
  TracedThread& traced(std::size_t index) { return calls_.traced(index); }

  // --- the end of calls ---
  // All threads leave the stub and the arena is unmapped, in many vessels at the same time: afterwards no calls are
  // possible, and registers are free to be set through traced().
  static void close_arenas(const std::vector<VesselProcess*>& processes);
  // One system call of the leader after that: args, then the address of a copy of `object` (`bytes` long) that lies
  // below its stack meanwhile. Registers, mask and memory are as before afterwards. The raw kernel result.
  int64_t post_arena_call(long nr, std::initializer_list<uint64_t> args, const void* object, std::size_t bytes);
  // Clears PTRACE_O_EXITKILL on all threads: from here on it outlives us.
  void unleash() { calls_.unleash(); }
  // unleash(), and detaches all. The process then runs (or stays frozen by its cgroup), and pid() is 0.
  void release();

 private:
  void start_closing();
  void stop_calls();
  void leave_arena(std::vector<BorrowedCall>& first, std::vector<BorrowedCall>& second);

  VesselCalls& calls_;
  VesselDescriptors& descriptors_;
  VesselMemory& memory_;
  uint32_t clone_flags_;
  std::optional<RemoteBatch> closing_;  // the last batch, in flight
};

}  // namespace crx
