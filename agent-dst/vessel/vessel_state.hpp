// The inside of a Vessel; for the files of this folder only.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "agent-dst/vessel/layout.hpp"
#include "agent-dst/vessel/vessel.hpp"
#include "agent-dst/vessel/vessel_spawn.hpp"
#include "common/kernel/memory/page_placer.hpp"

namespace crx {

// The numbers of a descriptor table, as we filled it.
struct NumberTable {
  int door_number = -1;  // under which the door is there
  bool door_open = true;
  std::set<int> taken;  // the door aside
  // Which number the next descriptor gets.
  int lowest_free() const {
    int number = 0;
    while (number == door_number || taken.contains(number)) ++number;
    return number;
  }
};

struct VesselState {
  // door: our descriptor for the first vessel of a tree, from which all others have theirs: then empty.
  VesselState(Fd door_fd, int door_number, Fd code, Fd data, uint64_t arena_addr, bool populate);
  void run_checked(RemoteBatch& batch);

  Fd engine_pidfd;  // a pidfd of ourselves
  Fd code_object, data_object;
  std::shared_ptr<NumberTable> table;                    // one for all that share descriptors
  std::shared_ptr<std::vector<PageRange>> guest_arenas;  // one for all that share memory: those of all but the first
  uint32_t clone_flags = 0;                              // with who made it
  std::optional<RemoteBatch> closing;                    // the last batch, under way
  bool calls_stopped = false;
  RemoteArena arena;
  std::deque<TracedThread> threads;
  std::vector<std::unique_ptr<RemoteThread>> remotes;
  Fd mem;  // /proc/PID/mem
  img::mm_entry mm;
  std::vector<Vma> vmas;
  std::vector<PageRange> guards;     // of the last guard_pages()
  uint64_t vdso_syscall = 0;         // where the vDSO makes one; 0 without a vDSO
  std::optional<PagePlacer> placer;  // while the vessel gets its first pages
  bool placer_registered = false;
};

// Sizes of a vessel's arena.
inline constexpr std::size_t kVesselSlots = 4096;
inline constexpr std::size_t kVesselScratch = std::size_t{4} << 20;

// A shared-memory object for one half of an arena.
Fd arena_object(const char* name, std::size_t bytes);
// A system call instruction that stays when the arenas go. Throws Error(unsupported) where there is none.
uint64_t lasting_syscall(const VesselState& state, pid_t pid);
// For the first round: memory that nobody touched yet is filled faster through a userfaultfd of the vessel's.
void make_placer(VesselState& state, int pidfd);

}  // namespace crx
