#include "agent-dst/restore/restore_task.hpp"

#include <algorithm>

#include "agent-dst/restore/process/load_registers.hpp"
#include "common/base/clock.hpp"
#include "common/base/error.hpp"
#include "common/base/log.hpp"
#include "common/image/magic.hpp"
#include "common/image/schema/inventory.pb.h"

namespace crx {
namespace {

constexpr int64_t kBatchDeadlineMs = 30'000;
constexpr std::size_t kThreadsAtOnce = 256;
constexpr std::size_t kProcessCalls = 4096;
constexpr std::size_t kThreadCalls = 32;
constexpr std::size_t kLastCalls = 96;

// Counts the items that take a varying number of calls in a thread: queued signals, and timers with the gaps between
// ids.
std::size_t queued_things(const img::core_entry& core) {
  return static_cast<std::size_t>(core.thread_core().signals_p().signals_size() + core.tc().signals_s().signals_size() +
                                  4 * core.tc().timers().posix_size());
}

}  // namespace

void load_task_images(RestoreContext& context) {
  const auto pid = static_cast<uint32_t>(context.pid);
  for (const auto& node : context.images.read_all<img::pstree_entry>(image_file::kPstree)) {
    if (node.pid() != pid) continue;
    context.cores.push_back(context.images.read_one<img::core_entry>(image_file::core(pid)));
    context.extra.add_threads()->set_tid(pid);
    for (const uint32_t tid : node.threads()) {
      if (tid == pid) continue;
      context.cores.push_back(context.images.read_one<img::core_entry>(image_file::core(tid)));
      context.extra.add_threads()->set_tid(tid);
    }
  }
  if (context.cores.empty() || !context.cores.front().has_tc()) {
    throw Error(ErrorCode::corrupt_image, "reading images", "entry 1: this is no process")
        .with_image(image_file::core(pid));
  }
  for (std::size_t i = 0; i < context.cores.size(); ++i) {
    const img::core_entry& core = context.cores[i];
    if (core.mtype() == img::core_entry::X86_64 && core.has_thread_info() && core.has_thread_core()) continue;
    const std::string name = image_file::core(context.extra.threads(static_cast<int>(i)).tid());
    throw Error(ErrorCode::corrupt_image, "reading images", "entry 1: the thread is not of this architecture")
        .with_image(name)
        .with_pid(context.pid);
  }
  auto extra = context.images.try_read_one<img::crx_task_entry>(image_file::crx_task(pid));
  if (!extra) {
    context.extra.set_pid(pid);
    return;
  }
  if (extra->threads_size() != context.extra.threads_size()) {
    throw Error(ErrorCode::corrupt_image, "reading images", "it and pstree.img differ in threads")
        .with_image(image_file::crx_task(pid))
        .with_pid(context.pid);
  }
  for (int i = 0; i < extra->threads_size(); ++i) {
    if (extra->threads(i).tid() != context.extra.threads(i).tid()) {
      throw Error(ErrorCode::corrupt_image, "reading images", "it and pstree.img differ in threads")
          .with_image(image_file::crx_task(pid))
          .with_pid(context.pid);
    }
  }
  context.extra = std::move(*extra);
}

TaskRestore::TaskRestore(RestoreContext& context) : context_(context), kinds_(make_restorers()) {}
TaskRestore::~TaskRestore() = default;

void TaskRestore::follow_core() const {
  context_.follow_image(image_file::core(static_cast<uint32_t>(context_.pid)));
}

void TaskRestore::prepare() {
  const ArenaScope scratch(context_.vessel.arena());
  for (const auto& kind : kinds_) {
    context_.follow_image(kind->image(context_));
    kind->prepare(context_);
  }
}

void TaskRestore::start_process() {
  follow_core();
  scratch_.emplace(context_.vessel.arena());
  leader_ = context_.vessel.batch(kProcessCalls);
  for (const auto& kind : kinds_) kind->plan_process(context_, *leader_);
  if (leader_->size() > 0) context_.vessel.process().thread(0).start(*leader_);
}

void TaskRestore::finish_process() {
  follow_core();
  if (leader_->size() > 0) context_.vessel.process().thread(0).finish(Deadline::in_ms(kBatchDeadlineMs));
  leader_->check_all();
  for (const auto& kind : kinds_) kind->after_process(context_, *leader_);
  leader_.reset();
  scratch_.reset();
}

// Starts the batches of one group of threads, whose size is limited so that the tables fit into the arena. All threads
// of a group run together.
template <typename Room, typename Plan>
void TaskRestore::start_group(std::size_t first, Room room, Plan plan) {
  follow_core();
  Vessel& vessel = context_.vessel;
  const std::size_t end = std::min(context_.cores.size(), first + kThreadsAtOnce);
  batches_.clear();
  scratch_.reset();
  scratch_.emplace(vessel.arena());
  for (std::size_t i = first; i < end; ++i) {
    batches_.push_back(vessel.batch(room(i)));
    for (const auto& kind : kinds_) plan(*kind, i, batches_.back());
  }
  for (std::size_t i = first; i < end; ++i) vessel.process().thread(i).start(batches_[i - first]);
}

// Runs all groups; the first one is started already.
template <typename Room, typename Plan, typename After>
void TaskRestore::run_groups(Room room, Plan plan, After after) {
  follow_core();
  for (std::size_t first = 0; first < context_.cores.size(); first += kThreadsAtOnce) {
    if (first > 0) start_group(first, room, plan);
    const Deadline deadline = Deadline::in_ms(kBatchDeadlineMs);
    for (std::size_t i = 0; i < batches_.size(); ++i) context_.vessel.process().thread(first + i).finish(deadline);
    for (const RemoteBatch& batch : batches_) batch.check_all();
    for (const auto& kind : kinds_) {
      for (std::size_t i = 0; i < batches_.size(); ++i) after(*kind, first + i, batches_[i]);
    }
  }
  batches_.clear();
  scratch_.reset();
}

std::size_t TaskRestore::room_of_thread(std::size_t i) const {
  return kThreadCalls + queued_things(context_.cores[i]);
}

void TaskRestore::start_threads() {
  std::vector<pid_t> tids;
  for (std::size_t i = 1; i < context_.cores.size(); ++i) {
    tids.push_back(static_cast<pid_t>(context_.extra.threads(static_cast<int>(i)).tid()));
  }
  if (!tids.empty()) context_.vessel.process().create_threads(tids);
  start_group(
      0, [this](std::size_t i) { return room_of_thread(i); },
      [this](Restorer& kind, std::size_t i, RemoteBatch& batch) { kind.plan_thread(context_, i, batch); });
}

void TaskRestore::finish_threads() {
  run_groups(
      [this](std::size_t i) { return room_of_thread(i); },
      [this](Restorer& kind, std::size_t i, RemoteBatch& batch) { kind.plan_thread(context_, i, batch); },
      [this](Restorer& kind, std::size_t i, const RemoteBatch& batch) { kind.after_thread(context_, i, batch); });
}

void TaskRestore::start_last() {
  start_group(
      0, [](std::size_t) { return kLastCalls; },
      [this](Restorer& kind, std::size_t i, RemoteBatch& batch) { kind.plan_last(context_, i, batch); });
}

void TaskRestore::finish_last() {
  run_groups([](std::size_t) { return kLastCalls; },
             [this](Restorer& kind, std::size_t i, RemoteBatch& batch) { kind.plan_last(context_, i, batch); },
             [](Restorer&, std::size_t, const RemoteBatch&) {});
  const ArenaScope scratch(context_.vessel.arena());
  for (const auto& kind : kinds_) {
    context_.follow_image(kind->image(context_));
    kind->finish(context_);
  }
}

void TaskRestore::registers() {
  follow_core();
  load_registers(context_.vessel, context_.cores, context_.extra);
}

void TaskRestore::commit() {
  for (const auto& kind : kinds_) {
    context_.follow_image(kind->image(context_));
    kind->commit(context_);
  }
}

bool TaskRestore::awaits_end() const {
  return std::any_of(kinds_.begin(), kinds_.end(), [](const auto& kind) { return kind->awaits_end(); });
}

void TaskRestore::original_ended() noexcept {
  for (const auto& kind : kinds_) kind->original_ended(context_);
}

}  // namespace crx
