#include "agent-src/migrate/cutover.hpp"

#include <map>
#include <utility>

#include "agent-src/collect/files/sync_files.hpp"
#include "agent-src/freeze/fd_table_reserve.hpp"
#include "agent-src/freeze/quiescent_freeze.hpp"
#include "agent-src/preflight/used_files.hpp"
#include "agent-src/snapshot/state_collection.hpp"
#include "agent-src/tool/worker.hpp"
#include "common/base/error.hpp"
#include "common/base/step_clock.hpp"
#include "common/image/magic.hpp"
#include "common/session/held_locks.hpp"
#include "common/tool/fault_point.hpp"
#include "wire/file_message.hpp"
#include "wire/tree_message.hpp"
#include "wire/verify.hpp"

namespace crx {
namespace {

constexpr int64_t kPrepareMs = 120'000;

}  // namespace

Stop::Stop(pid_t root, int64_t timeout_ms, SourceTree& source, std::vector<Step>& steps)
    : realtime(std::in_place, ::getpid()),
      tree(freeze_quiescent(root, timeout_ms, source.kernel)),
      locks(tree, source.tasks.call_sites()),
      clock(steps, tree.stopped_since_us()) {}

Cutover::Cutover(MigrationContext& context, Precopied copied)
    : context_(context), from_(std::move(copied)), tasks_(from_.tree->tasks) {}

PreparedMove Cutover::run() && {
  before_stop();
  auto stop = std::make_unique<Stop>(context_.options.pid, context_.options.freeze_timeout_ms, *from_.tree,
                                     context_.report.cutover.stop_steps);
  const int64_t stop_us = stop->tree.stopped_since_us();
  const int64_t frozen_us = monotonic_us();
  stop->clock.lap("freeze", frozen_us);
  context_.end_phase(stop_us);
  context_.report.cutover.start_us = stop_us - context_.began_us;
  context_.report.cutover.freeze_us = frozen_us - stop_us;
  context_.observer.freeze();
  try {
    reach(FaultPoint::source_frozen);
    run_hook(HookStage::frozen, *stop);
    check_stop();
    last_round(*stop);
    await_prepared();
    stop->clock.lap("build there");
    reach(FaultPoint::source_prepared);
    run_hook(HookStage::prepared, *stop);
    check_stop();
    if (context_.overall.passed()) throw Error(ErrorCode::refused, "committing", "--timeout is over");
  } catch (const std::exception& error) {
    if (stop->locks.has_released_leases()) context_.abort(error.what());
    throw;
  }
  return PreparedMove(std::move(from_), std::move(leftovers_), std::move(stop));
}

void Cutover::run_hook(HookStage stage, Stop& stop) {
  if (context_.options.hook.empty()) return;
  context_.hook.run(stage, context_.hook_context());
  stop.clock.lap(stage == HookStage::frozen ? "hook frozen" : "hook prepared");
}

void Cutover::before_stop() {
  context_.hook.run(HookStage::pre_freeze, context_.hook_context());
  check_stop();
  if (!context_.peer.same_kernel) {
    // This leaves less to write back during the stop.
    for (const pid_t pid : tasks_.pids()) sync_written_files(pid);
  }
  reserve_fd_table(tasks_.pids());
  if (from_.has_addresses) context_.packets.prepare();
  wire::SessionMessage urgent;
  urgent.mutable_freeze();
  context_.link->send(urgent);
}

// Collects the state and sends it, before the last scan of memory (see collect_state()).
void Cutover::collect(FrozenTree& tree) {
  const int64_t began_us = monotonic_us();
  StepClock clock(context_.report.cutover.source_steps);
  tasks_.follow(tree);
  std::map<pid_t, PrecopyTask*> by_pid;
  for (PrecopyTask& task : tasks_.tasks()) by_pid[task.node.pid] = &task;
  const StateCollection what{tree, from_.tree->files, tasks_.call_sites(),
                             [&](pid_t pid) -> MemoryMap& { return *by_pid.at(pid)->map; },
                             [&](pid_t pid) { return by_pid.at(pid)->replaced; }};
  ImageStore images = collect_state(what, collect_options(context_, *from_.tree), &clock);
  tasks_.learn(images);
  file_locks_ = images.read_all<img::file_lock_entry>(image_file::kFileLocks);
  leftovers_ = IpcLeftovers(images, stopped_waiters(tree));
  from_.sender.send_images(images);
  clock.lap("send state");
  context_.report.cutover.collect_us = monotonic_us() - began_us;
}

void Cutover::last_round(Stop& stop) {
  collect(stop.tree);
  stop.clock.lap("collect");
  reach(FaultPoint::source_state_sent);
  stop.locks.set(file_locks_);
  for (const std::string& detail : to_details(stop.locks.held(true))) context_.journal.add_detail(detail);
  stop.locks.release_leases();
  const int64_t began_us = monotonic_us();
  StepClock clock(context_.report.cutover.source_steps);
  const auto round = static_cast<uint32_t>(context_.report.rounds.size() + 1);
  MemoryStatistics statistics;
  FinalMemory memory = tasks_.final_scan(statistics);
  clock.lap("scan");
  const unsigned marks = from_.sender.send_final(round, memory, statistics);
  clock.lap("send pages");
  context_.report.cutover.last_pages_us = monotonic_us() - began_us;
  stop.clock.lap("last pages");
  reach(FaultPoint::source_memory_sent);
  if (context_.options.verify) {
    send_digests(memory);
    stop.clock.lap("digests");
  }
  send_written_files();
  wire::SessionMessage message;
  wire::Prepare& prepare = *message.mutable_prepare();
  for (const ForkStep& step : from_.sender.finish_forks()) *prepare.add_forks() = wire::to_message(step);
  context_.link->send(message);
  clock.lap("digests");
  stop.clock.lap("written files");
  // The arena is removed while the destination builds, since no step after this one reads from the processes.
  stop.tree.eject();
  clock.lap("leave");
  stop.clock.lap("leave");
  context_.await_round(round, marks, Deadline::in_ms(kPrepareMs));
  clock.lap("await pages");
  stop.clock.lap("await pages");
  RoundReport& entry = context_.add_round(began_us, statistics);
  entry.is_final = true;
  entry.bytes_dirty = statistics.dirty_pages * kPageSize;
}

void Cutover::send_digests(const FinalMemory& memory) {
  wire::SessionMessage message;
  wire::Verify& verify = *message.mutable_verify();
  for (const FinalSpace& space : memory.spaces) {
    *verify.add_spaces() = wire::to_message({PageSpace::Kind::mm, static_cast<uint64_t>(space.pid)},
                                            digest_space(space.pid, wire::digest_ranges(space.pid)));
  }
  for (const FinalObject& object : memory.objects) {
    *verify.add_spaces() = wire::to_message({PageSpace::Kind::shmem, object.id.ino},
                                            digest_object(tasks_.rounds().objects().descriptor(object.id)));
  }
  context_.link->send(message);
}

// Sends the identity of each file that the tree wrote: the destination must have the same content, unless both hosts
// use the same file. Two hosts on one kernel can tell this by device and inode, so no content has to be read.
void Cutover::send_written_files() {
  if (context_.peer.same_kernel) return;
  wire::SessionMessage message;
  for (const PrecopyTask& task : tasks_.tasks()) {
    if (task.node.dead) continue;
    sync_written_files(task.node.pid);
    for (const FileIdentity& file : used_files(task.node.pid, *task.map, UsedFiles::written)) {
      // The file is carried along with its present content.
      if (from_.tree->files.is_carried(file.path)) continue;
      wire::FileIdentity& added = *message.mutable_written_files()->add_files();
      added = wire::to_message(file);
      added.set_task(static_cast<uint32_t>(task.node.pid));
    }
  }
  if (message.has_written_files()) context_.link->send(message);
}

void Cutover::await_prepared() {
  StepClock clock(context_.report.cutover.source_steps);
  const wire::SessionMessage message =
      context_.expect(wire::SessionMessage::kPrepared, Deadline::in_ms(kPrepareMs), "preparing");
  clock.lap("await prepared");
  CutoverReport& cutover = context_.report.cutover;
  for (const wire::Step& step : message.prepared().steps()) {
    cutover.destination_steps.push_back({step.name(), static_cast<int64_t>(step.us())});
    if (step.name() == "apply") cutover.apply_us = static_cast<int64_t>(step.us());
    if (step.name() == "rebuild") cutover.rebuild_us = static_cast<int64_t>(step.us());
  }
  context_.observer.prepared(cutover);
}

}  // namespace crx
