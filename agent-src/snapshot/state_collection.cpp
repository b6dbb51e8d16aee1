#include "agent-src/snapshot/state_collection.hpp"

#include <map>
#include <string>

#include "agent-src/collect/memory/vma_attributes.hpp"
#include "common/image/magic.hpp"

namespace crx {
namespace {

// Reading the flags of all mappings takes 8 to 17 ms per GiB. For a task with more than this resident, that is too long
// during a stop, so a mapping that has changed since the last reading keeps its earlier flags.
constexpr uint64_t kFlagsInFreezeBytes = uint64_t{256} << 20;

void read_mappings(const StateCollection& what, const SpaceOwners& owners) {
  for (const auto& task : what.tree.tasks()) {
    if (owners.at(task->pid()) != task->pid()) continue;
    MemoryMap& map = what.map_of(task->pid());
    map.read();
    if (!map.flags_are_current() && (what.is_new(task->pid()) || map.resident_bytes() < kFlagsInFreezeBytes))
      map.read_flags();
    // This adds the files of the mappings to the file table.
    map.describe();
  }
}

// Adds the mappings of all tasks. Every task is asked before the first answer is awaited.
void add_mappings(const StateCollection& what, const SpaceOwners& owners, ImageStore& images) {
  std::map<pid_t, VmaAttributes> attributes;
  for (const auto& task : what.tree.tasks()) {
    if (owners.at(task->pid()) == task->pid()) attributes.try_emplace(task->pid(), *task, what.map_of(task->pid()));
  }
  for (const auto& task : what.tree.tasks()) {
    const auto pid = static_cast<uint32_t>(task->pid());
    if (const auto own = attributes.find(task->pid()); own != attributes.end()) {
      const std::string name = image_file::crx_task(pid);
      auto extra = images.read_one<img::crx_task_entry>(name);
      own->second.finish(extra);
      images.erase(name);
      images.append(name, extra);
    }
    img::mm_entry mm = what.map_of(owners.at(task->pid())).description();
    mm.set_mm_brk(task->program_break());
    images.append(image_file::mm(pid), mm);
  }
}

}  // namespace

SpaceOwners space_owners(const FrozenTree& tree) {
  std::map<pid_t, const TaskNode*> nodes;
  for (const TaskNode& member : tree.members()) nodes[member.pid] = &member;
  SpaceOwners owners;
  for (const TaskNode& member : tree.members()) {
    const TaskNode* owner = &member;
    while (owner->shares_memory() && nodes.contains(owner->made_by())) owner = nodes.at(owner->made_by());
    owners[member.pid] = owner->pid;
  }
  return owners;
}

ImageStore collect_state(const StateCollection& what, const CollectOptions& options, StepClock* clock) {
  const auto lap = [clock](const char* name) {
    if (clock != nullptr) clock->lap(name);
  };
  const SpaceOwners owners = space_owners(what.tree);
  read_mappings(what, owners);
  lap("maps");
  what.tree.inject(what.call_sites);
  lap("arena");
  ImageStore images;
  collect_tree(what.tree, what.files, options, images, clock);
  add_mappings(what, owners, images);
  lap("mapping attributes");
  what.tree.settle();
  lap("settle");
  return images;
}

}  // namespace crx
