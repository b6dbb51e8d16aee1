#include "agent-dst/restore_set/restore_memory.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "agent-dst/restore_set/page_feed.hpp"
#include "common/base/error.hpp"
#include "common/base/fd.hpp"
#include "common/base/log.hpp"
#include "common/image/magic.hpp"

namespace crx {
namespace {

constexpr uint64_t kWorthwhilePart = 4;  // the part (1/4) of a child's pages whose addresses its parent must use, too

// The vDSO and its data pages, whose content comes from the kernel.
std::vector<PageRange> kernel_ranges(const img::mm_entry& mm) {
  std::vector<PageRange> ranges;
  for (const img::vma_entry& vma : mm.vmas()) {
    if ((vma.status() & (vma_status::kVdso | vma_status::kVvar | vma_status::kVsyscall)) == 0) continue;
    append_range(ranges, {vma.start(), vma.end()});
  }
  return ranges;
}

std::vector<PageRange> sorted(std::vector<PageRange> ranges) {
  std::sort(ranges.begin(), ranges.end(), [](const PageRange& a, const PageRange& b) { return a.start < b.start; });
  std::vector<PageRange> joined;
  for (const PageRange& range : ranges) append_range(joined, range);
  return joined;
}

std::vector<PageRange> mapped_ranges(const img::mm_entry& mm) {
  std::vector<PageRange> ranges;
  for (const img::vma_entry& vma : mm.vmas()) append_range(ranges, {vma.start(), vma.end()});
  return ranges;
}

}  // namespace

const img::mm_entry& RestoreMemory::layout(pid_t pid) {
  const auto [slot, is_new] = layouts_.try_emplace(pid);
  if (is_new) slot->second = images_.read_one<img::mm_entry>(image_file::mm(static_cast<uint32_t>(pid)));
  return slot->second;
}

std::vector<PageRange> RestoreMemory::pages_of(pid_t pid) {
  std::vector<PageRange> ranges;
  const auto id = static_cast<uint32_t>(pid);
  if (!set_.images().contains(image_file::pagemap(id))) return ranges;
  for (const PagePiece& piece : set_.pages({PageSpace::Kind::mm, id})) ranges.push_back(piece.range);
  return sorted(std::move(ranges));
}

bool RestoreMemory::looks_forked(const TaskNode& child, const TaskNode& parent) {
  if (kernel_ranges(layout(child.pid)) != kernel_ranges(layout(parent.pid))) return false;
  const std::vector<PageRange> own = pages_of(child.pid);
  return total_pages(intersect(own, pages_of(parent.pid))) * kWorthwhilePart >= total_pages(own);
}

template <typename Write>
void RestoreMemory::copy_pages(PageSpace space, Write write) {
  PageFeed feed(set_, space);
  while (const auto part = feed.next()) write(part->range, part->bytes);
}

// inherited: pages that the vessel has from its parent, whether or not their content is right.
void RestoreMemory::fill(pid_t pid, VesselMemory& memory, const std::vector<PageRange>& inherited) {
  memory.drop_pages(subtract(inherited, pages_of(pid)));
  const std::vector<PageRange> kernels = kernel_ranges(memory.layout());
  const Fd present = open_checked(fmt::format("/proc/{}/mem", pid), O_RDONLY);
  uint64_t shared = 0;
  // The pages of `part` that differ from those of the vessel.
  const auto differing = [&](PageRange part, std::span<const std::byte> bytes) {
    std::vector<PageRange> same;
    for (const PageRange& range : intersect({part}, inherited)) {
      present_.resize(range.bytes());
      if (::pread(present.get(), present_.data(), range.bytes(), static_cast<off_t>(range.start)) !=
          static_cast<ssize_t>(range.bytes())) {
        continue;
      }
      for (uint64_t at = range.start; at < range.end; at += kPageSize) {
        if (std::memcmp(present_.data() + (at - range.start), bytes.data() + (at - part.start), kPageSize) != 0)
          continue;
        append_range(same, {at, at + kPageSize});
      }
    }
    shared += total_pages(same);
    return subtract({part}, same);
  };
  if (set_.images().contains(image_file::pagemap(static_cast<uint32_t>(pid)))) {
    copy_pages({PageSpace::Kind::mm, static_cast<uint64_t>(pid)},
               [&](PageRange part, std::span<const std::byte> bytes) {
                 for (const PageRange& range : subtract(differing(part, bytes), kernels)) {
                   memory.write_pages({range}, bytes.subspan(range.start - part.start, range.bytes()));
                 }
               });
  }
  log::debug("vessel {}: {} pages remain shared with its parent", pid, shared);
}

void RestoreMemory::fill_objects() {
  constexpr std::string_view kPrefix = "pagemap-shmem-";
  for (const std::string& name : set_.images().names()) {
    if (!name.starts_with(kPrefix)) continue;
    const uint64_t id = std::strtoull(name.c_str() + kPrefix.size(), nullptr, 10);
    if (!shmem_.contains(id)) continue;
    image_ = name;
    copy_pages({PageSpace::Kind::shmem, id},
               [&](PageRange part, std::span<const std::byte> bytes) { shmem_.write_pages(id, {part}, bytes); });
  }
}

// Adds to `made` the tasks whose vessels can be made next: one that starts with the memory of another comes after that
// one has its pages. Chooses whose memory they start with.
void RestoreMemory::choose_next(std::vector<ForkRequest>& requests, std::set<pid_t>& made) {
  const std::set<pid_t> before = made;
  std::map<pid_t, const TaskNode*> by_pid;
  std::vector<const TaskNode*> tree;
  for (const ForkRequest& request : requests) {
    by_pid[request.task.pid] = &request.task;
    tree.push_back(&request.task);
  }
  for (ForkRequest& request : requests) {
    const TaskNode& task = request.task;
    if (made.contains(task.pid)) continue;
    if (task.ppid != 0) {
      const TaskNode& parent = *by_pid.at(task.ppid);
      const bool with_parent = is_forked_with_parent(task, parent, tree);
      if (!(with_parent ? made : before).contains(task.ppid)) continue;
      if (task.cloner != 0 && !made.contains(task.cloner)) continue;
      if (task.cloner == 0 && !with_parent && !task.shares_memory() && looks_forked(task, parent))
        request.memory_donor = task.ppid;
    }
    made.insert(task.pid);
  }
}

ForkPlan RestoreMemory::build(VesselTree& tree, const std::vector<TaskNode>& tasks,
                              const std::map<pid_t, std::vector<uint64_t>>& commit_charged,
                              const std::map<pid_t, std::vector<PageRange>>& guards) {
  std::vector<ForkRequest> requests;
  for (const TaskNode& task : tasks) requests.push_back({.task = task});
  ForkPlanner planner;
  std::set<pid_t> made;
  std::map<pid_t, std::vector<PageRange>> held;  // private pages, according to the images
  while (made.size() < requests.size()) {
    const std::set<pid_t> before = made;
    choose_next(requests, made);
    if (made == before)
      throw Error(ErrorCode::corrupt_image, "reading images", "it does not describe a tree")
          .with_image(std::string(image_file::kPstree));
    std::vector<ForkRequest> now;
    std::vector<TaskNode> nodes;
    for (const ForkRequest& request : requests) {
      if (!made.contains(request.task.pid)) continue;
      now.push_back(request);
      nodes.push_back(request.task);
    }
    image_ = image_file::kPstree;
    tree.follow(nodes, planner.follow(now), -1, shmem_.ptys());
    for (const ForkRequest& request : now) {
      const TaskNode& task = request.task;
      if (before.contains(task.pid) || task.dead || task.shares_memory()) continue;
      VesselMemory& memory = tree.at(task.pid).memory();
      image_ = image_file::mm(static_cast<uint32_t>(task.pid));
      const img::mm_entry& mm = layout(task.pid);
      const std::vector<PageRange> fresh = sorted(memory.apply_layout(mm, commit_charged.at(task.pid), files_, shmem_));
      image_ = image_file::pagemap(static_cast<uint64_t>(task.pid));
      held[task.pid] = pages_of(task.pid);
      fill(task.pid, memory,
           request.memory_donor == 0 ? std::vector<PageRange>()
                                     : subtract(intersect(held[request.memory_donor], mapped_ranges(mm)), fresh));
    }
  }
  for (const auto& [pid, ranges] : guards) {
    image_ = image_file::crx_task(static_cast<uint32_t>(pid));
    if (!ranges.empty()) tree.at(pid).memory().guard_pages(ranges);
  }
  fill_objects();
  image_ = image_file::kPstree;
  return planner.finish();
}

}  // namespace crx
