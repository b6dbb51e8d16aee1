// All memory of a process tree over the rounds of a migration: what a session calls.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <vector>

#include "agent-src/memory/shared_objects.hpp"
#include "agent-src/memory/space_rounds.hpp"

namespace crx {

// The mappings of one task, from its /proc/PID/maps (classify_maps), ascending.
struct SpaceVmas {
  pid_t pid = 0;
  std::vector<MemoryVma> vmas;
};

struct FinalMemory {
  std::vector<FinalSpace> spaces;
  std::vector<FinalObject> objects;
};

// Each round: read maps, begin_round, send the layout, send_round. In the freeze: read maps, final_scan, send the
// layout, the holes and send_final, in any order the destination can follow (its holes must be made before guards).
// Afterwards destination == source, page for page. All calls from one thread; errors as in SpaceRounds.
class MemoryRounds {
 public:
  // tracker: of pid, fresh; its userfaultfd is closed with this object (or remove_space), which gives the victim
  // its memory back unprotected.
  void add_space(pid_t pid, std::unique_ptr<Tracker> tracker);
  void remove_space(pid_t pid);
  // Whether begin_round wants the tree stopped.
  bool needs_stop() const;

  // `spaces` names every space that was added.
  MemoryStatistics begin_round(std::span<const SpaceVmas> spaces);
  // Adds to the statistics of begin_round. Or space by space (SpaceRounds::send_round), and the objects besides.
  void send_round(PageSink& sink, MemoryStatistics& statistics);

  FinalMemory final_scan(std::span<const SpaceVmas> spaces, MemoryStatistics& statistics);
  void send_final(const FinalMemory& memory, PageSink& sink, MemoryStatistics& statistics);

  // The destination has lost what it held there (a vessel's range was mapped anew).
  void forget(pid_t pid, PageRange range);

  SharedObjects& objects() noexcept { return objects_; }
  SpaceRounds& space(pid_t pid);

 private:
  std::vector<MappedSpace> mapped(std::span<const SpaceVmas> spaces);
  std::map<pid_t, std::unique_ptr<SpaceRounds>> spaces_;
  SharedObjects objects_;
};

}  // namespace crx
