// The stop: last round and state. What follows is in commit.cpp.
#include <fmt/format.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <map>

#include "agent-src/collect/files/file_locks.hpp"
#include "agent-src/collect/files/sync_files.hpp"
#include "agent-src/collect/memory/vma_attributes.hpp"
#include "agent-src/freeze/fd_table_reserve.hpp"
#include "agent-src/freeze/quiescent_freeze.hpp"
#include "agent-src/migrate/migration.hpp"
#include "agent-src/preflight/used_files.hpp"
#include "agent-src/tool/worker.hpp"
#include "common/base/error.hpp"
#include "common/base/step_clock.hpp"
#include "common/image/magic.hpp"
#include "common/kernel/process/realtime.hpp"
#include "wire/file_message.hpp"
#include "wire/verify.hpp"

namespace crx {
namespace {

constexpr int64_t kPrepareMs = 120'000;
constexpr uint64_t kFlagsInFreezeBytes = uint64_t{256} << 20;

}  // namespace

void Migration::send_last_holes(PageSpace space, const std::vector<PageRange>& holes,
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
  link_->send(message);
}

// Guards last: a vessel that is forked would inherit them, and nothing would take them away.
unsigned Migration::send_last_memory(uint32_t round, FinalMemory& memory, MemoryStatistics& statistics) {
  MemoryRounds& rounds = tree_.rounds();
  const auto mm = [](pid_t pid) { return PageSpace{PageSpace::Kind::mm, static_cast<uint64_t>(pid)}; };
  const unsigned marks = send_tree(round, [&](PrecopyTask& task) {
    const auto found = std::find_if(memory.spaces.begin(), memory.spaces.end(),
                                    [&](const FinalSpace& s) { return s.pid == task.place.pid; });
    if (found == memory.spaces.end())
      throw Error(ErrorCode::bug, "sending the last pages", "a process was not scanned").with_pid(task.place.pid);
    SpaceRounds& space = rounds.space(task.place.pid);
    if (task.memory_donor != 0) space.inherit(rounds.space(std::exchange(task.memory_donor, 0)), *found);
    send_last_holes(mm(task.place.pid), found->holes, {});
    space.send_final(*found, *sink_, statistics);
  });
  for (const FinalSpace& space : memory.spaces) send_last_holes(mm(space.pid), {}, space.guards);
  for (const FinalObject& object : memory.objects)
    send_last_holes({PageSpace::Kind::shmem, object.id.ino}, object.holes, {});
  rounds.objects().send_final(memory.objects, *sink_, statistics);
  link_->end_round(round);
  return marks + 1;
}

void Migration::send_digests(const FinalMemory& memory) {
  wire::SessionMessage message;
  wire::Verify& verify = *message.mutable_verify();
  for (const FinalSpace& space : memory.spaces) {
    *verify.add_spaces() = wire::to_message({PageSpace::Kind::mm, static_cast<uint64_t>(space.pid)},
                                            digest_space(space.pid, wire::digest_ranges(space.pid)));
  }
  for (const FinalObject& object : memory.objects) {
    *verify.add_spaces() = wire::to_message({PageSpace::Kind::shmem, object.id.ino},
                                            digest_object(tree_.rounds().objects().descriptor(object.id)));
  }
  link_->send(message);
}

// What the tree wrote must be the same there, bytes and all, unless it is one file. Hosts on one kernel see by its
// device and inode that it is; nothing has to be read then.
void Migration::send_written_files() {
  if (same_kernel_) return;
  wire::SessionMessage message;
  for (const PrecopyTask& task : tree_.tasks()) {
    if (task.place.dead) continue;
    sync_written_files(task.place.pid);
    for (const FileIdentity& file : used_files(task.place.pid, *task.map, UsedFiles::written)) {
      if (files_.is_carried(file.path)) continue;  // goes along as it is now
      *message.mutable_written_files()->add_files() = wire::to_message(file);
    }
  }
  if (message.has_written_files()) link_->send(message);
}

// Before the last scan: threads that make calls for us have the kernel write into their memory (rseq). They stand still
// in the stub afterwards.
void Migration::collect(FrozenTree& tree) {
  const int64_t began_us = monotonic_us();
  StepClock clock(report_.cutover.source_steps);
  tree_.follow(tree);
  for (PrecopyTask& task : tree_.tasks()) {
    if (task.place.dead || task.place.shares_memory()) continue;
    MemoryMap& map = *task.map;
    map.read();
    if (!map.flags_are_current() && (task.replaced || map.resident_bytes() < kFlagsInFreezeBytes)) map.read_flags();
    map.describe();  // its files belong into the table
  }
  clock.lap("maps");
  ImageStore images;
  tree.inject(tree_.call_sites());
  clock.lap("arena");
  collect_tree(tree, files_, collect_options(), images, &clock);
  tree_.learn(images);
  file_locks_ = images.read_all<img::file_lock_entry>(image_file::kFileLocks);
  ipc_leftovers_ = IpcLeftovers(images, stopped_waiters(tree));
  std::map<pid_t, VmaAttributes> attributes;
  for (PrecopyTask& moving : tree_.tasks()) {
    if (moving.place.dead || moving.place.shares_memory()) continue;
    attributes.try_emplace(moving.place.pid, *tree.find(moving.place.pid), *moving.map);
  }
  for (PrecopyTask& moving : tree_.tasks()) {
    if (moving.place.dead) continue;
    const auto pid = static_cast<uint32_t>(moving.place.pid);
    FrozenTask& task = *tree.find(moving.place.pid);
    const std::string extra_name = image_file::crx_task(pid);
    auto extra = images.read_one<img::crx_task_entry>(extra_name);
    MemoryMap& map = *tree_.memory_owner(moving).map;
    if (const auto own = attributes.find(moving.place.pid); own != attributes.end()) own->second.finish(extra);
    images.erase(extra_name);
    images.append(extra_name, extra);
    img::mm_entry mm = map.description();
    mm.set_mm_brk(task.program_break());
    images.append(image_file::mm(pid), mm);
  }
  clock.lap("mapping attributes");
  tree.settle();
  clock.lap("settle");
  send_images(images);
  clock.lap("send state");
  report_.cutover.collect_us = monotonic_us() - began_us;
}

void Migration::last_round(FrozenTree& tree, TreeLocks& locks) {
  collect(tree);
  locks.set(file_locks_);
  locks.lend();
  const int64_t began_us = monotonic_us();
  StepClock clock(report_.cutover.source_steps);
  const auto round = static_cast<uint32_t>(report_.rounds.size() + 1);
  MemoryStatistics statistics;
  FinalMemory memory = tree_.final_scan(statistics);
  clock.lap("scan");
  const unsigned marks = send_last_memory(round, memory, statistics);
  clock.lap("send pages");
  report_.cutover.last_pages_us = monotonic_us() - began_us;
  if (options_.verify) send_digests(memory);
  send_written_files();
  wire::SessionMessage message;
  message.mutable_prepare();
  link_->send(message);
  clock.lap("digests");
  // While the destination builds. Nothing is read from the processes any more.
  tree.eject();
  clock.lap("leave");
  await_round(round, marks, Deadline::in_ms(kPrepareMs));
  clock.lap("await pages");
  const wire::LinkStatistics now = link_->statistics();
  RoundReport& entry = report_.rounds.emplace_back();
  entry.round = round;
  entry.is_final = true;
  entry.start_us = began_us - began_us_;
  entry.duration_us = monotonic_us() - began_us;
  entry.scan_us = statistics.scan_us;
  entry.bytes_scanned = statistics.scanned_bytes;
  entry.bytes_dirty = statistics.dirty_pages * kPageSize;
  entry.pages_sent = statistics.sent_pages;
  entry.pages_raw = now.pages_raw - last_statistics_.pages_raw;
  entry.pages_zero = now.pages_zero - last_statistics_.pages_zero;
  entry.pages_compressed = now.pages_compressed - last_statistics_.pages_compressed;
  entry.bytes_wire = now.bytes_wire - last_statistics_.bytes_wire;
  last_statistics_ = now;
}

void Migration::prepare() {
  StepClock clock(report_.cutover.source_steps);
  const auto prepared =
      expect<wire::Prepared>(Deadline::in_ms(kPrepareMs), wire::SessionMessage::kPrepared, "preparing");
  clock.lap("await prepared");
  CutoverReport& cutover = report_.cutover;
  for (const wire::Step& step : prepared.steps()) {
    cutover.destination_steps.push_back({step.name(), static_cast<int64_t>(step.us())});
    if (step.name() == "apply") cutover.apply_us = static_cast<int64_t>(step.us());
    if (step.name() == "rebuild") cutover.rebuild_us = static_cast<int64_t>(step.us());
  }
  observer_.prepared(cutover);
}

int Migration::cut_over() {
  hook_.run(HookStage::pre_freeze, hook_context());
  check_stop();
  if (!same_kernel_) {
    for (const pid_t pid : tree_.pids()) sync_written_files(pid);  // so that little is left for the stop
  }
  reserve_fd_table(options_.pid);
  if (has_addresses_) packets_.prepare();
  wire::SessionMessage urgent;
  urgent.mutable_freeze();
  link_->send(urgent);
  std::optional<Realtime> realtime(std::in_place, ::getpid());
  FrozenTree tree = freeze_quiescent(options_.pid, options_.freeze_timeout_ms, kernel_);
  const int64_t stop_us = tree.stopped_since_us();
  report_.cutover.start_us = stop_us - began_us_;
  report_.cutover.freeze_us = monotonic_us() - stop_us;
  observer_.freeze();
  TreeLocks locks(tree, tree_.call_sites());
  int outcome = 0;
  try {
    hook_.run(HookStage::frozen, hook_context());
    check_stop();
    last_round(tree, locks);
    prepare();
    hook_.run(HookStage::prepared, hook_context());
    check_stop();
    if (overall_.passed()) throw Error(ErrorCode::refused, "committing", "--timeout is over");
    outcome = commit(tree, locks);
  } catch (const std::exception& error) {
    // What was lent can be had again only when nobody has it open there.
    if (locks.has_lent() && !decided_) abort(error.what());
    throw;
  }
  realtime.reset();
  if (outcome == 0 && options_.wait) return wait_for_exit();
  return outcome;
}

}  // namespace crx
