// What the destination is told of the tree before a round's pages: places, mappings, and the files behind them.
#include <map>
#include <string>
#include <utility>

#include "agent-src/collect/files/ghost_files.hpp"
#include "agent-src/migrate/migration.hpp"
#include "agent-src/migrate/send_order.hpp"
#include "common/base/error.hpp"
#include "common/base/log.hpp"
#include "wire/tree_message.hpp"

namespace crx {
namespace {

ForkRequest fork_request(const PrecopyTask& task, bool is_root) {
  ForkRequest request{.task = task.place, .replaced = task.replaced};
  if (is_root) request.task.ppid = 0;
  if (task.replaced) request.memory_donor = task.memory_donor;
  return request;
}

}  // namespace

// All that are alive, before anything counts as told.
Migration::SpaceLayouts Migration::describe_spaces() {
  SpaceLayouts described;
  for (PrecopyTask& task : tree_.tasks()) {
    if (!task.place.dead && !task.place.shares_memory()) described[task.place.pid] = describe_space(task);
  }
  return described;
}

// Memory that is shared since a fork crosses the wire once: a task's vessel is forked from the one that has it, when
// all of that has arrived, which a mark tells. So a round with new tasks in it comes in parts. The last mark is the
// caller's; how many were set here.
unsigned Migration::send_tree(uint32_t round, const std::function<void(PrecopyTask&)>& send_memory) {
  SpaceLayouts described = describe_spaces();
  SendOrder order(tree_);
  unsigned marks = 0;
  for (auto wave = order.next(); !wave.empty();) {
    send_layout(round, order, described);
    for (PrecopyTask* task : wave) {
      if (!task->place.dead && !task->place.shares_memory()) send_memory(*task);
    }
    wave = order.next();
    if (wave.empty()) break;
    link_->end_round(round);
    ++marks;
  }
  return marks;
}

void Migration::send_layout(uint32_t round, const SendOrder& order, SpaceLayouts& described) {
  wire::SessionMessage message;
  wire::Layout& layout = *message.mutable_layout();
  std::vector<ForkRequest> requests;
  for (PrecopyTask& task : tree_.tasks()) {
    if (!order.is_scheduled(task.place.pid)) continue;
    requests.push_back(fork_request(task, &task == &tree_.root()));
    *layout.add_tasks() = wire::to_message(requests.back().task, &task == &tree_.root());
    const auto space = described.find(task.place.pid);
    if (task.place.dead || space == described.end()) continue;
    std::string fingerprint = space->second.SerializeAsString();
    if (fingerprint == task.last_layout) continue;
    task.last_layout = std::move(fingerprint);
    const TimeOffsets offsets = time_offsets(options_.pid);
    space->second.set_monotonic_ns(offsets.monotonic_ns + clock_lead_.monotonic_ns);
    space->second.set_boottime_ns(offsets.boottime_ns + clock_lead_.boottime_ns);
    *layout.add_spaces() = std::move(space->second);
    described.erase(space);
  }
  std::string nodes;
  for (const wire::TaskNode& node : layout.tasks()) nodes += node.SerializeAsString();
  if (layout.spaces_size() == 0 && nodes == last_nodes_) return;
  last_nodes_ = std::move(nodes);
  for (const ForkStep& step : forks_.follow(std::move(requests))) *layout.add_forks() = wire::to_message(step);
  for (PrecopyTask& task : tree_.tasks()) {
    if (order.is_scheduled(task.place.pid)) task.replaced = false;
  }
  send_ghosts();
  layout.set_round(round);
  link_->send(message);
}

wire::SpaceLayout Migration::describe_space(PrecopyTask& task) {
  wire::SpaceLayout space;
  space.set_space(static_cast<uint64_t>(task.place.pid));
  space.set_mm(task.map->description().SerializeAsString());
  for (const uint32_t id : task.map->file_ids()) space.add_files(files_.find(id)->SerializeAsString());
  for (const auto& memfd : task.map->memfds()) space.add_memfds(memfd.SerializeAsString());
  for (const auto& segment : task.map->segments()) space.add_segments(segment.SerializeAsString());
  for (const auto& memfd : task.open_memfds) space.add_memfds(memfd.SerializeAsString());
  for (const uint64_t start : task.map->commit_charged()) space.add_commit_charged(start);
  return space;
}

// Mapped files that are deleted: the vessel cannot map them before their content is there.
void Migration::send_ghosts() {
  if (files_.deleted().size() == ghosts_sent_) return;
  ghosts_sent_ = files_.deleted().size();
  ImageStore ghosts;
  write_ghosts(files_, options_.ghost_limit, ghosts);
  send_images(ghosts);
}

void Migration::send_images(ImageStore& images) {
  wire::SessionMessage message;
  for (auto& [name, content] : images.take()) {
    wire::ImageFile& file = *message.mutable_images()->add_files();
    file.set_name(name);
    file.set_content(std::move(content));
  }
  link_->send(message);
}

}  // namespace crx
