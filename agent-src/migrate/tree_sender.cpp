#include "agent-src/migrate/tree_sender.hpp"

#include <algorithm>
#include <utility>

#include "agent-src/collect/files/ghost_files.hpp"
#include "agent-src/migrate/send_order.hpp"
#include "common/base/error.hpp"
#include "wire/tree_message.hpp"

namespace crx {
namespace {

PageSpace space_of(pid_t pid) {
  return {PageSpace::Kind::mm, static_cast<uint64_t>(pid)};
}

FinalSpace& final_space_of(FinalMemory& memory, pid_t pid) {
  const auto found =
      std::find_if(memory.spaces.begin(), memory.spaces.end(), [&](const FinalSpace& s) { return s.pid == pid; });
  if (found == memory.spaces.end())
    throw Error(ErrorCode::bug, "sending the last pages", "a process was not scanned").with_pid(pid);
  return *found;
}

ForkRequest fork_request(const PrecopyTask& task, bool is_root) {
  ForkRequest request{.task = task.node, .replaced = task.replaced};
  if (is_root) request.task.ppid = 0;
  if (task.replaced) request.memory_donor = task.memory_donor;
  return request;
}

// The watch refers to the context and not to the sender, since the sender is moved.
LinkPageSink::Watch watch(MigrationContext& context) {
  LinkPageSink::Watch out;
  out.look = [&context] {
    if (context.progress) context.progress->look();
  };
  out.skip = [&context](uint64_t pages) {
    if (context.progress) context.progress->skip(pages);
  };
  out.wait_ms = RoundProgress::kEveryMs;
  return out;
}

}  // namespace

TreeSender::TreeSender(MigrationContext& context, SourceTree& tree)
    : context_(context), tree_(tree), sink_(*context.link, watch(context)) {}

unsigned TreeSender::send_round(uint32_t round, MemoryStatistics& statistics) {
  MemoryRounds& rounds = tree_.tasks.rounds();
  const unsigned marks = send_waves(round, [&](PrecopyTask& task) {
    SpaceRounds& space = rounds.space(task.node.pid);
    if (task.memory_donor != 0) {
      const uint64_t pending = space.pending_pages();
      space.inherit(rounds.space(std::exchange(task.memory_donor, 0)));
      sink_.skip(pending - space.pending_pages());
    }
    space.send_round(sink_, statistics);
  });
  rounds.objects().send_round(sink_, statistics);
  context_.link->end_round(round);
  return marks + 1;
}

// Guards are sent last: a vessel forked from one with guards would inherit them, and no later step would remove them.
unsigned TreeSender::send_final(uint32_t round, FinalMemory& memory, MemoryStatistics& statistics) {
  MemoryRounds& rounds = tree_.tasks.rounds();
  const unsigned marks = send_waves(round, [&](PrecopyTask& task) {
    const pid_t pid = task.node.pid;
    FinalSpace& found = final_space_of(memory, pid);
    SpaceRounds& space = rounds.space(pid);
    if (task.memory_donor != 0) space.inherit(rounds.space(std::exchange(task.memory_donor, 0)), found);
    send_holes(space_of(pid), found.holes, {});
    space.send_final(found, sink_, statistics);
  });
  for (const FinalSpace& space : memory.spaces) send_holes(space_of(space.pid), {}, space.guards);
  for (const FinalObject& object : memory.objects)
    send_holes({PageSpace::Kind::shmem, object.id.ino}, object.holes, {});
  rounds.objects().send_final(memory.objects, sink_, statistics);
  context_.link->end_round(round);
  return marks + 1;
}

void TreeSender::send_holes(PageSpace space, const std::vector<PageRange>& holes,
                            const std::vector<PageRange>& guards) {
  if (holes.empty() && guards.empty()) return;
  wire::SessionMessage message;
  wire::Holes& body = *message.mutable_holes();
  body.set_space_kind(static_cast<uint32_t>(space.kind));
  body.set_space(space.id);
  const auto add = [](wire::Range& out, PageRange range) {
    out.set_start(range.start);
    out.set_end(range.end);
  };
  for (const PageRange& range : holes) add(*body.add_ranges(), range);
  for (const PageRange& range : guards) add(*body.add_guards(), range);
  context_.link->send(message);
}

// Memory that is shared since a fork crosses the wire once: the vessel of a task is forked from the vessel that has the
// memory, once all of it has arrived, which a mark shows. So a round with new tasks is sent in several parts. Returns
// the number of marks set here; the caller sets the last one.
unsigned TreeSender::send_waves(uint32_t round, const std::function<void(PrecopyTask&)>& send_memory) {
  SpaceLayouts described = describe_spaces();
  SendOrder order(tree_.tasks);
  unsigned marks = 0;
  for (auto wave = order.next(); !wave.empty();) {
    send_layout(round, order, described);
    for (PrecopyTask* task : wave) {
      if (!task->node.dead && !task->node.shares_memory()) send_memory(*task);
    }
    wave = order.next();
    if (wave.empty()) break;
    context_.link->end_round(round);
    ++marks;
  }
  return marks;
}

// Describes the spaces of all tasks that are alive. To be called before any page counts as sent.
TreeSender::SpaceLayouts TreeSender::describe_spaces() {
  SpaceLayouts described;
  for (PrecopyTask& task : tree_.tasks.tasks()) {
    if (!task.node.dead && !task.node.shares_memory()) described[task.node.pid] = describe_space(task);
  }
  return described;
}

wire::SpaceLayout TreeSender::describe_space(PrecopyTask& task) {
  wire::SpaceLayout space;
  space.set_space(static_cast<uint64_t>(task.node.pid));
  space.set_mm(task.map->description().SerializeAsString());
  for (const uint32_t id : task.map->file_ids()) space.add_files(tree_.files.find(id)->SerializeAsString());
  for (const auto& memfd : task.map->memfds()) space.add_memfds(memfd.SerializeAsString());
  for (const auto& segment : task.map->segments()) space.add_segments(segment.SerializeAsString());
  for (const auto& memfd : task.open_memfds) space.add_memfds(memfd.SerializeAsString());
  for (const uint64_t start : task.map->commit_charged()) space.add_commit_charged(start);
  return space;
}

void TreeSender::send_layout(uint32_t round, const SendOrder& order, SpaceLayouts& described) {
  wire::SessionMessage message;
  wire::Layout& layout = *message.mutable_layout();
  std::vector<ForkRequest> requests;
  for (PrecopyTask& task : tree_.tasks.tasks()) {
    if (!order.is_scheduled(task.node.pid)) continue;
    requests.push_back(fork_request(task, &task == &tree_.tasks.root()));
    *layout.add_tasks() = wire::to_message(requests.back().task, &task == &tree_.tasks.root());
    if (!task.node.dead) add_changed_space(task, described, layout);
  }
  if (!is_news(layout)) return;
  for (const ForkStep& step : forks_.follow(std::move(requests))) *layout.add_forks() = wire::to_message(step);
  for (PrecopyTask& task : tree_.tasks.tasks()) {
    if (order.is_scheduled(task.node.pid)) task.replaced = false;
  }
  send_ghosts();
  layout.set_round(round);
  context_.link->send(message);
}

void TreeSender::add_changed_space(PrecopyTask& task, SpaceLayouts& described, wire::Layout& layout) const {
  const auto space = described.find(task.node.pid);
  if (space == described.end()) return;
  std::string fingerprint = space->second.SerializeAsString();
  if (fingerprint == task.last_layout) return;
  task.last_layout = std::move(fingerprint);
  const TimeOffsets offsets = time_offsets(context_.options.pid);
  space->second.set_monotonic_ns(offsets.monotonic_ns + context_.peer.clock_lead.monotonic_ns);
  space->second.set_boottime_ns(offsets.boottime_ns + context_.peer.clock_lead.boottime_ns);
  *layout.add_spaces() = std::move(space->second);
  described.erase(space);
}

// Returns whether the destination does not have this layout yet, and records it as sent.
bool TreeSender::is_news(const wire::Layout& layout) {
  std::string nodes;
  for (const wire::TaskNode& node : layout.tasks()) nodes += node.SerializeAsString();
  if (layout.spaces_size() == 0 && nodes == last_nodes_) return false;
  last_nodes_ = std::move(nodes);
  return true;
}

// Sends mapped files that are deleted, since a vessel can map one only after its content has arrived.
void TreeSender::send_ghosts() {
  if (tree_.files.deleted().size() == ghosts_sent_) return;
  ghosts_sent_ = tree_.files.deleted().size();
  ImageStore ghosts;
  write_ghosts(tree_.files, context_.options.ghost_limit, ghosts);
  send_images(ghosts);
}

void TreeSender::send_images(ImageStore& images) {
  wire::SessionMessage message;
  for (auto& [name, content] : images.take()) {
    wire::ImageFile& file = *message.mutable_images()->add_files();
    file.set_name(name);
    file.set_content(std::move(content));
  }
  context_.link->send(message);
}

}  // namespace crx
