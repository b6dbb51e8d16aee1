#include "agent-dst/migrate/received_tree.hpp"

#include <unistd.h>

#include <string>
#include <utility>

#include "common/base/error.hpp"
#include "common/image/magic.hpp"
#include "common/image/schema/mm.pb.h"
#include "common/image/schema/regular.pb.h"
#include "common/kernel/process/time_namespace.hpp"
#include "wire/tree_message.hpp"

namespace crx {
namespace {

template <typename Message>
Message parse(const std::string& bytes, const char* what) {
  Message message;
  if (!message.ParseFromString(bytes))
    throw Error(ErrorCode::peer, "reading a layout", std::string(what) + " does not parse");
  return message;
}

PageSpace space_of(pid_t pid) {
  return {PageSpace::Kind::mm, static_cast<uint64_t>(pid)};
}

}  // namespace

ReceivedTree::ReceivedTree(const Policy& policy, FileRules rules)
    : files(make_file_opener(std::move(rules))), images(policy.image_limit()), policy_(policy) {}

ReceivedTree::~ReceivedTree() = default;

void ReceivedTree::apply_layout(const wire::Layout& layout, const DestinationContext& context) {
  std::vector<Mapped> spaces;
  for (const wire::SpaceLayout& space : layout.spaces()) {
    spaces.push_back({space,
                      parse<img::mm_entry>(space.mm(), "the memory description"),
                      {space.commit_charged().begin(), space.commit_charged().end()}});
  }
  check_size(layout, spaces);
  follow(layout, context);
  for (const Mapped& mapped : spaces) map_space(mapped);
}

// Follows the plan with the accounts, as the vessels will, and checks what the tree will then be.
void ReceivedTree::check_size(const wire::Layout& layout, const std::vector<Mapped>& spaces) {
  policy_.check_tasks(static_cast<uint64_t>(layout.tasks_size()));
  for (const ForkStep& step : wire::fork_plan(layout.forks())) {
    const PageSpace space = space_of(step.vessel);
    switch (step.action) {
      case ForkAction::fork:
        if (!step.with_memory) break;
        claimed_.copy(step.from, step.vessel);
        present_.copy(space_of(step.from), space);
        break;
      case ForkAction::empty_root:
      case ForkAction::end_vessel:
      case ForkAction::end_placeholder:
      case ForkAction::end_zombie:
        claimed_.erase(step.vessel);
        present_.erase(space);
        break;
      default:
        break;
    }
  }
  for (const Mapped& mapped : spaces) {
    const auto pid = static_cast<pid_t>(mapped.space.space());
    claimed_.set(pid, mapped.mm, mapped.charged);
    std::vector<PageRange> ranges;
    for (const img::vma_entry& vma : mapped.mm.vmas()) ranges.push_back({vma.start(), vma.end()});
    present_.keep_only(space_of(pid), ranges);
  }
  policy_.check_memory(claimed_.bytes());
}

void ReceivedTree::follow(const wire::Layout& layout, const DestinationContext& context) {
  const bool first = vessels.empty();
  if (first) {
    if (layout.spaces().empty()) throw Error(ErrorCode::peer, "following the source", "a layout without memory");
    unshare_time({layout.spaces(0).monotonic_ns(), layout.spaces(0).boottime_ns()});
    group.emplace(FreezerGroup::create_below(::getpid(), group_name(context.options.session)));
  }
  const Fd group_dir = group->directory();
  vessels.follow(wire::task_nodes(layout.tasks()), wire::fork_plan(layout.forks()), group_dir.get(), shmem.ptys());
  if (vessels.empty()) throw Error(ErrorCode::peer, "following the source", "a layout in which nothing is alive");
  if (first && !group_dir) {
    for (const Vessel* vessel : vessels.all()) group->add(vessel->pid());
  }
}

void ReceivedTree::map_space(const Mapped& mapped) {
  const wire::SpaceLayout& space = mapped.space;
  Vessel& vessel = vessels.at(static_cast<pid_t>(space.space()));
  for (const std::string& bytes : space.files()) files->add(parse<img::file_entry>(bytes, "a file entry"));
  if (images.contains(image_file::kRemapFpath)) files->add_ghosts(images);
  for (const std::string& bytes : space.memfds()) shmem.memfd(parse<img::memfd_inode_entry>(bytes, "a memfd entry"));
  for (const std::string& bytes : space.segments()) shmem.segment(parse<img::ipc_shm_entry>(bytes, "a segment"));
  commit_charged[vessel.pid()] = mapped.charged;
  vessel.memory().apply_layout(mapped.mm, mapped.charged, *files, shmem);
}

void ReceivedTree::add_images(const wire::Images& message) {
  uint64_t bytes = images.total_bytes();
  for (const wire::ImageFile& file : message.files()) {
    if (images.contains(file.name())) bytes -= file.name().size() + images.load(file.name()).size();
    bytes += file.name().size() + file.content().size();
    policy_.check_images(bytes);
    images.erase(file.name());
    images.insert(file.name(), file.content());
  }
}

void ReceivedTree::write_pages(const wire::PagesArrived& pages) {
  present_.add(pages.space, pages.ranges);
  present_.add(pages.space, pages.zero_ranges);
  policy_.check_memory(present_.bytes());
  if (pages.space.kind == PageSpace::Kind::shmem) {
    shmem.write_pages(pages.space.id, pages.ranges, pages.bytes);
    shmem.drop_pages(pages.space.id, pages.zero_ranges);
    present_.drop(pages.space, pages.zero_ranges);
  } else {
    VesselMemory& memory = vessels.at(static_cast<pid_t>(pages.space.id)).memory();
    memory.write_pages(pages.ranges, pages.bytes);
    memory.clear_pages(pages.zero_ranges);
  }
}

void ReceivedTree::drop_pages(PageSpace space, const std::vector<PageRange>& ranges) {
  if (space.kind == PageSpace::Kind::shmem) {
    shmem.drop_pages(space.id, ranges);
  } else {
    vessels.at(static_cast<pid_t>(space.id)).memory().drop_pages(ranges);
  }
  present_.drop(space, ranges);
}

void ReceivedTree::become_urgent(const EngineOptions& options) {
  if (std::exchange(was_urgent_, true)) throw Error(ErrorCode::peer, "following the source", "Freeze came twice");
  realtime.emplace_back(::getpid());
  if (options.session_process > 0) realtime.emplace_back(options.session_process);
  for (const Vessel* vessel : vessels.all()) make_realtime(vessel->pid());
  urgent_until = Deadline::in_ms(options.max_urgent_ms);
}

void ReceivedTree::calm_down() noexcept {
  realtime.clear();
  urgent_until = Deadline::never();
}

}  // namespace crx
