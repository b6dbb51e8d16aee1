#include "agent-src/dump/dump_memory.hpp"

#include <algorithm>
#include <utility>

#include "agent-src/dump/dump_images.hpp"
#include "agent-src/memory/comparing_trackers.hpp"
#include "agent-src/memory/page_sender.hpp"
#include "agent-src/snapshot/state_collection.hpp"
#include "common/base/error.hpp"
#include "common/base/log.hpp"

namespace crx {
namespace {

PageSpace space_of(pid_t pid) {
  return {PageSpace::Kind::mm, static_cast<uint64_t>(pid)};
}

// Lists all private memory of a stopped process.
SpacePages whole_space(pid_t pid, const std::vector<MemoryVma>& vmas) {
  FrozenPages frozen = frozen_private_pages(HashTracker(pid), vmas);
  SpacePages found;
  found.here = std::move(frozen.present);
  found.guards = std::move(frozen.guards);
  return found;
}

bool is_alive(pid_t pid) {
  TaskNode now;
  return try_read_task(pid, now) && !now.dead;
}

}  // namespace

DumpMemory::DumpMemory(const DumpOptions& options, DumpStore& store, CallSites& sites, KernelView& kernel, MapOf map_of)
    : options_(options), store_(store), sites_(sites), kernel_(kernel), map_of_(std::move(map_of)) {}

void DumpMemory::prepare(const TreeSnapshot& tree) {
  parent_ = store_.parent();
  if (!parent_ && !options_.track_mem) return;
  for (const TaskNode& task : tree.tasks) {
    if (!task.dead && !task.shares_memory()) track(task.pid);
  }
}

void DumpMemory::track(pid_t pid) {
  try {
    auto tracking = std::make_unique<DumpTracking>(options_, pid, sites_, kernel_, parent());
    stop_us_ = std::max(stop_us_, tracking->stop_us());
    tracking_[pid] = std::move(tracking);
  } catch (const Error& error) {
    if (pid == options_.pid) throw;
    // It has ended, or it is the child of a vfork that has not yet exec'd, and such a process cannot be stopped.
    log::info("process {}: {}; it is dumped in full", pid, error.what());
  }
}

// Writes the pages of one address space. all: the set must hold every page, so a page that cannot be read is an error.
void DumpMemory::write_space(pid_t pid, SpacePages found, bool all) {
  if (!store_.begin(space_of(pid), found.in_parent)) {
    log::warn("process {}: the page server does not have the parent set (--prev-images-dir); this dump is full", pid);
    found.here = unite(found.here, std::exchange(found.in_parent, {}));
  }
  MemoryReader reader(pid);
  const SendOutcome outcome = send_pages(space_of(pid), found.here, reader, store_.pages(), nullptr);
  if (all) require_all_read(outcome, reader);
  in_parent_[space_of(pid)] = std::move(found.in_parent);
}

// Returns false if the process has ended or called exec in the meantime.
bool DumpMemory::write_running_task(pid_t pid, std::vector<MappedSpace>& mapped) {
  const auto tracking = tracking_.find(pid);
  if (tracking == tracking_.end()) return false;
  try {
    MemoryMap& map = map_of_(pid);
    map.read();
    write_space(pid, tracking->second->running_pages(map.vmas()), false);
    object_trackers_.push_back(std::make_unique<HashTracker>(pid));
    mapped.push_back({pid, object_trackers_.back().get(), &map.vmas()});
    return true;
  } catch (const Error& error) {
    if (pid == options_.pid || is_alive(pid)) throw;
    tracking_.erase(pid);
    return false;
  }
}

std::vector<TaskNode> DumpMemory::write_running(const TreeSnapshot& tree) {
  std::vector<TaskNode> written;
  std::vector<MappedSpace> mapped;
  for (const TaskNode& task : tree.tasks) {
    if (!task.dead && (task.shares_memory() ? is_alive(task.pid) : write_running_task(task.pid, mapped)))
      written.push_back(task);
  }
  std::vector<pid_t> holders;
  for (const TaskNode& task : written) holders.push_back(task.pid);
  DumpObjects(store_, parent(), options_.track_mem).write(mapped, holders, true, in_parent_);
  finish();
  return written;
}

void DumpMemory::write_frozen(const FrozenTree& tree, ImageStore& images) {
  std::vector<MappedSpace> mapped;
  std::vector<pid_t> holders;
  const SpaceOwners owners = space_owners(tree);
  for (const auto& task : tree.tasks()) {
    const pid_t pid = task->pid();
    holders.push_back(pid);
    if (owners.at(pid) != pid) continue;
    const std::vector<MemoryVma>& vmas = map_of_(pid).vmas();
    const auto tracking = tracking_.find(pid);
    SpacePages found = tracking == tracking_.end() ? whole_space(pid, vmas) : tracking->second->frozen_pages(vmas);
    // CRIU compares the vDSO's text with that of its own kernel.
    found.here = unite(found.here, vdso_of(images, pid));
    found.in_parent = subtract(found.in_parent, found.here);
    add_guards(pid, found.guards, images);
    write_space(pid, std::move(found), true);
    object_trackers_.push_back(std::make_unique<HashTracker>(pid));
    mapped.push_back({pid, object_trackers_.back().get(), &vmas});
  }
  DumpObjects(store_, parent(), options_.track_mem).write(mapped, holders, false, in_parent_);
  finish();
}

void DumpMemory::finish() {
  store_.finish_pages(in_parent_);
  object_trackers_.clear();
}

void DumpMemory::arm(const FrozenTree& tree) {
  for (const auto& task : tree.tasks()) {
    const auto tracking = tracking_.find(task->pid());
    if (tracking != tracking_.end()) tracking->second->arm(map_of_(task->pid()).vmas());
  }
}

uint64_t DumpMemory::parent_pages() const {
  uint64_t sum = 0;
  for (const auto& [space, ranges] : in_parent_) sum += total_pages(ranges);
  return sum;
}

void DumpMemory::keep(const std::string& set_id) {
  for (const auto& [pid, tracking] : tracking_) {
    try {
      tracking->keep(set_id);
    } catch (const Error& error) {
      if (pid == options_.pid) throw;
      log::info("process {}: {}; its next dump will be full", pid, error.what());
    }
  }
}

}  // namespace crx
