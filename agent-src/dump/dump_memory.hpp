// Writes the memory of all processes of a tree into a set.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent-src/collect/memory/memory_map.hpp"
#include "agent-src/dump/dump_objects.hpp"
#include "agent-src/dump/dump_store.hpp"
#include "agent-src/dump/dump_tracking.hpp"
#include "agent-src/freeze/frozen_tree.hpp"
#include "common/image/image_store.hpp"

namespace crx {

// The member functions are to be called in the order of their declaration. Single-threaded.
class DumpMemory {
 public:
  // Returns the mappings of a process as they were last read.
  using MapOf = std::function<MemoryMap&(pid_t)>;
  DumpMemory(const DumpOptions& options, DumpStore& store, CallSites& sites, KernelView& kernel, MapOf map_of);

  // To be called before the stop: for each process of `tree` it finds out what the parent set has, and starts tracking
  // for the next set. A process that is born later or cannot be tracked is written in full. Each process runs on
  // afterwards. Throws Error if the parent set cannot be read or the root cannot be tracked.
  void prepare(const TreeSnapshot& tree);

  // Writes the pages of the tree while it runs, and arms them for the next set. Returns the processes of `tree` that
  // are in the set.
  std::vector<TaskNode> write_running(const TreeSnapshot& tree);
  // Writes the pages of the stopped tree, and adds the guarded ranges to `images`, which must hold the memory layouts.
  void write_frozen(const FrozenTree& tree, ImageStore& images);
  void arm(const FrozenTree& tree);

  uint64_t parent_pages() const;
  // Returns the id of the parent set if any page was left to it, else an empty string.
  std::string parent_id() const { return parent_pages() > 0 ? parent_->id : std::string(); }
  // Returns the longest time in microseconds for which a process was stopped to start tracking.
  int64_t stop_us() const noexcept { return stop_us_; }

  // Hands the tracking over to daemons for the next set. To be called when the store has published the set.
  void keep(const std::string& set_id);

 private:
  const ParentSet* parent() const { return parent_ ? &*parent_ : nullptr; }
  void track(pid_t pid);
  void write_space(pid_t pid, SpacePages found, bool all);
  bool write_running_task(pid_t pid, std::vector<MappedSpace>& mapped);
  void finish();

  const DumpOptions& options_;
  DumpStore& store_;
  CallSites& sites_;
  KernelView& kernel_;
  MapOf map_of_;
  std::optional<ParentSet> parent_;
  std::map<pid_t, std::unique_ptr<DumpTracking>> tracking_;
  std::vector<std::unique_ptr<Tracker>> object_trackers_;
  std::map<PageSpace, std::vector<PageRange>> in_parent_;
  int64_t stop_us_ = 0;
};

}  // namespace crx
