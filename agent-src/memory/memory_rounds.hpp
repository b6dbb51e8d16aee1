// All memory of a process tree over the rounds of a migration: private memory of each address space and shared objects.
// This is the interface that migration and dump use.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <vector>

#include "agent-src/memory/shared_objects.hpp"
#include "agent-src/memory/space_rounds.hpp"

namespace crx {

// The mappings of one task, ascending, as classify_maps() made them from /proc/PID/maps.
struct SpaceVmas {
  pid_t pid = 0;
  std::vector<MemoryVma> vmas;
};

struct FinalMemory {
  std::vector<FinalSpace> spaces;
  std::vector<FinalObject> objects;
};

// Each round: read the maps, call begin_round, send the layout, call send_round. In the stop: read the maps, call
// final_scan, then send the layout, the holes and send_final in any order that the destination can follow (it must make
// the holes before the guards). Afterwards source and destination are equal page by page. All calls come from one
// thread; errors are those of SpaceRounds.
class MemoryRounds {
 public:
  // tracker: a new one for `pid`. This object owns its userfaultfd and closes it in remove_space() or its destructor,
  // which removes the write protection from the victim's memory.
  void add_space(pid_t pid, std::unique_ptr<Tracker> tracker);
  // Forgets the space and everything that was sent of it; does nothing if it was never added.
  void remove_space(pid_t pid);
  // Whether the tree must be stopped during begin_round.
  bool needs_stop() const;

  // `spaces` holds one entry for every space that was added. Returns the statistics of the scan.
  MemoryStatistics begin_round(std::span<const SpaceVmas> spaces);
  // Sends all spaces, then the shared objects, and adds to the statistics of begin_round. Instead, a caller may send
  // space by space (space(pid).send_round) and then the objects (objects().send_round).
  void send_round(PageSink& sink, MemoryStatistics& statistics);

  // The last round, in the stop: see SpaceRounds and SharedObjects. final_scan adds to the statistics, too.
  FinalMemory final_scan(std::span<const SpaceVmas> spaces, MemoryStatistics& statistics);
  void send_final(const FinalMemory& memory, PageSink& sink, MemoryStatistics& statistics);

  // Tells that the destination no longer holds this range of the process (the vessel's range was mapped anew): the next
  // round sends it again.
  void forget(pid_t pid, PageRange range);

  SharedObjects& objects() noexcept { return objects_; }
  // Throws Error(bug) if the space was never added.
  SpaceRounds& space(pid_t pid);

 private:
  std::vector<MappedSpace> mapped(std::span<const SpaceVmas> spaces);
  std::map<pid_t, std::unique_ptr<SpaceRounds>> spaces_;
  SharedObjects objects_;
};

}  // namespace crx
