// The memory of all processes of a tree on its way into a set.
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

// Steps in the order of their declaration. Single-threaded.
class DumpMemory {
 public:
  // map_of: the mappings of a process, as they were read last.
  using MapOf = std::function<MemoryMap&(pid_t)>;
  DumpMemory(const DumpOptions& options, DumpStore& store, CallSites& sites, KernelView& kernel, MapOf map_of);

  // Before the stop: what of each process the parent set has, and the tracking for the next one. Processes that are
  // born later, or cannot be tracked, are written whole.
  void prepare();

  // While the tree runs: its pages and marks. Returns the processes that are in the set.
  std::vector<TaskNode> write_running();
  // While it is stopped. images: with the layouts; guarded ranges are added.
  void write_frozen(const FrozenTree& tree, ImageStore& images);
  void arm(const FrozenTree& tree);

  uint64_t parent_pages() const;
  // The parent's, where anything was left to it; else empty.
  std::string parent_id() const { return parent_pages() > 0 ? parent_->id : std::string(); }
  // How long a process was stopped for the tracking, at most.
  int64_t stop_us() const noexcept { return stop_us_; }

  // After the store has published the set.
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
