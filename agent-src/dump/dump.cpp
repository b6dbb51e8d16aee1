#include "agent-src/dump/dump.hpp"

#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <map>
#include <memory>

#include "agent-src/collect/ipc/sysv_ipc.hpp"
#include "agent-src/collect/kind/file_table.hpp"
#include "agent-src/collect/kind/link_remaps.hpp"
#include "agent-src/collect/memory/memory_map.hpp"
#include "agent-src/collect/memory/vma_attributes.hpp"
#include "agent-src/collect/sockets/tcp_block.hpp"
#include "agent-src/dump/dump_images.hpp"
#include "agent-src/dump/dump_memory.hpp"
#include "agent-src/dump/dump_store.hpp"
#include "agent-src/freeze/fd_table_reserve.hpp"
#include "agent-src/freeze/frozen_tree.hpp"
#include "agent-src/tool/systemd_unit.hpp"
#include "agent-src/tool/worker.hpp"
#include "common/base/error.hpp"
#include "common/base/log.hpp"
#include "common/image/dedup.hpp"
#include "common/image/image_store.hpp"
#include "common/image/magic.hpp"
#include "common/kernel/introspect/kernel_view.hpp"
#include "common/kernel/process/pidfd.hpp"
#include "common/proc/stat.hpp"
#include "common/remote/wait_status.hpp"
#include "common/tool/error_json.hpp"
#include "wire/host_info.hpp"

namespace crx {
namespace {

constexpr uint64_t kFlagsInFreezeBytes = uint64_t{256} << 20;
constexpr int64_t kEndMs = 10'000;

// Where it can still be given up: the process runs on then.
void check_told_to_stop() {
  if (!stop_requested()) return;
  throw Error(ErrorCode::kernel, "dumping", "crx-dump was told to stop")
      .with_hint("the process runs on, and there is no new set");
}

constexpr char kNextIsFull[] = "the next dump will be full";

// What comes when the set is whole: that it fails does not mean that the dump has failed.
template <typename Action>
void afterwards(const char* consequence, Action action) {
  try {
    action();
  } catch (const Error& error) {
    log::warn("{}: {}", consequence, error.what());
  }
}

// Steps in the order of run(). Single-threaded but for the writing of pages.
class Dump {
 public:
  explicit Dump(const DumpOptions& options) : options_(options), began_us_(monotonic_us()), map_(map_of(options.pid)) {
    if (options.link_remap) files_.set_links(&links_);
  }
  DumpReport run();

 private:
  CollectOptions collect_options();
  void inspect();
  void collect(FrozenTree& tree);
  bool leaves_running() const { return options_.leave_running || options_.check_only; }
  MemoryMap& map_of(pid_t pid);
  void end(FrozenTree& tree);
  void reap_all(FrozenTask& task);
  void begin();
  void publish();
  void run_pre();
  void run_whole();

  const DumpOptions& options_;
  int64_t began_us_;
  DumpReport report_;
  CallSites call_sites_;
  KernelView kernel_{!options_.no_kernel_introspection};
  FileTable files_;
  std::map<pid_t, std::unique_ptr<MemoryMap>> maps_;
  MemoryMap& map_;  // the root's
  std::unique_ptr<DumpStore> store_;
  std::unique_ptr<DumpMemory> memory_;
  ImageStore images_;
  Manifest manifest_ = Manifest::begin(img::crx_manifest_entry::DUMP);
  TcpBlock packets_{manifest_.id_text()};                // from the collection of TCP connections on
  LinkRemaps links_{manifest_.id_text().substr(0, 16)};  // names that the set refers to
  std::optional<SystemdUnit> unit_;                      // that restarts the original
};

CollectOptions Dump::collect_options() {
  CollectOptions collect;
  collect.shell_job = options_.shell_job;
  collect.ext_unix_sk = options_.ext_unix_sk;
  collect.external_unix = options_.external_unix;
  collect.link_remap = options_.link_remap;
  collect.tcp_established = options_.tcp_established;
  collect.same_host = true;
  collect.packets = &packets_;
  collect.kernel = &kernel_;
  collect.ghost_limit_bytes = options_.ghost_limit;
  collect.file_locks = options_.file_locks;
  return collect;
}

MemoryMap& Dump::map_of(pid_t pid) {
  std::unique_ptr<MemoryMap>& map = maps_[pid];
  if (map == nullptr) map = std::make_unique<MemoryMap>(pid, files_);
  return *map;
}

void Dump::inspect() {
  bool refused = false;
  std::vector<std::vector<Refusal>> lists = {inspect_tree(options_.pid, collect_options())};
  const std::vector<TaskNode> tree = list_tree(options_.pid);
  for (const TaskNode& task : holds_caller(tree) ? std::vector<TaskNode>() : tree) {
    if (task.dead) continue;
    try {
      MemoryMap& map = map_of(task.pid);
      map.read();
      lists.push_back(map.refusals());
    } catch (const Error& error) {
      if (task.pid == options_.pid && !lists.front().empty()) break;  // a kernel thread has no memory to look at
      if (task.pid == options_.pid || (error.code() != ErrorCode::victim_gone && !has_ended(task))) throw;
      maps_.erase(task.pid);  // it has ended meanwhile
    }
  }
  if (!leaves_running() && !options_.pre) unit_ = find_restarting_unit(tree);
  if (unit_ && options_.unit == UnitPolicy::refuse) {
    lists.push_back({{fmt::format("pid {}", unit_->main_pid), restart_reason(*unit_), kRestartRemedy}});
  }
  for (const std::vector<Refusal>& list : lists) {
    for (const Refusal& refusal : list) {
      std::fprintf(stderr, "crx-dump: %s: %s; %s\n", refusal.object.c_str(), refusal.reason.c_str(),
                   refusal.remedy.c_str());
      if (options_.json) std::printf("%s\n", finding_line(refusal.object, refusal.reason, refusal.remedy).c_str());
      refused = true;
    }
  }
  if (refused) {
    throw Error(ErrorCode::refused, "looking at the process", fmt::format("process {} cannot be dumped", options_.pid));
  }
}

// In whose address space a process is: its own, or that of who made it.
pid_t space_owner(const FrozenTree& tree, pid_t pid) {
  for (const TaskNode& member : tree.members()) {
    if (member.pid == pid) return member.shares_memory() ? space_owner(tree, member.made_by()) : pid;
  }
  return pid;
}

bool has_own_space(const FrozenTree& tree, const FrozenTask& task) {
  return space_owner(tree, task.pid()) == task.pid();
}

// Before the memory is read: threads that make calls for us have the kernel write into their memory (rseq).
void Dump::collect(FrozenTree& tree) {
  for (const auto& task : tree.tasks()) {
    if (!has_own_space(tree, *task)) continue;
    MemoryMap& map = map_of(task->pid());
    map.read();
    if (!map.flags_are_current() && (task->pid() != options_.pid || map.resident_bytes() < kFlagsInFreezeBytes))
      map.read_flags();
    map.describe();  // its files belong into the table
  }
  tree.inject(call_sites_);
  collect_tree(tree, files_, collect_options(), images_);
  for (const auto& task : tree.tasks()) {
    const auto pid = static_cast<uint32_t>(task->pid());
    MemoryMap& map = map_of(space_owner(tree, task->pid()));
    auto extra = images_.read_one<img::crx_task_entry>(image_file::crx_task(pid));
    if (has_own_space(tree, *task)) VmaAttributes(*task, map).finish(extra);
    img::mm_entry mm = map.description();
    mm.set_mm_brk(task->program_break());
    add_commit_charged(map.commit_charged(), mm, extra);
    images_.erase(image_file::crx_task(pid));
    images_.append(image_file::crx_task(pid), extra);
    images_.append(image_file::mm(pid), mm);
    for (const img::memfd_inode_entry& memfd : map.memfds()) {  // those that are open are there already
      if (files_.first_memfd(memfd.shmid())) images_.append(image_file::kMemfdInode, memfd);
    }
  }
  tree.settle();
}

// All are killed before one is reaped, so that nobody sees another's end.
void Dump::end(FrozenTree& tree) {
  const int64_t stopped_us = tree.stopped_since_us();
  if (leaves_running()) {
    tree.thaw();
    report_.frozen_us = monotonic_us() - stopped_us;
    packets_.unblock();
    return;
  }
  if (unit_ && options_.unit == UnitPolicy::stop) stop_unit(*unit_);
  try {
    tree.eject();
  } catch (const Error& error) {  // somebody was faster, and the set is whole
    if (error.code() != ErrorCode::victim_gone) throw;
  }
  packets_.close_silently();
  for (const auto& task : tree.tasks()) send_signal(task->pidfd(), SIGKILL);
  report_.frozen_us = monotonic_us() - stopped_us;
  for (const auto& task : tree.tasks()) release_memory(task->pidfd());
  for (auto task = tree.tasks().rbegin(); task != tree.tasks().rend(); ++task) reap_all(**task);
  // A packet that finds no socket is answered with an end of the connection. crx-restore takes the table away.
  packets_.leave_installed();
}

void Dump::reap_all(FrozenTask& task) {
  // We are the tracer: our part is reaped, so that its parent sees it end. The leader last: the kernel reports its end
  // only when all other threads have been reaped.
  const Deadline deadline = Deadline::in_ms(kEndMs);
  for (auto thread = task.threads().rbegin(); thread != task.threads().rend(); ++thread) {
    if (!reap_killed(thread->tid(), deadline))
      log::warn("process {} does not end; the images are complete", task.pid());
    thread->traced.forget();
  }
  task.threads().clear();
}

void Dump::begin() {
  inspect();
  map_.read_flags();
  manifest_.head().set_pid(static_cast<uint32_t>(options_.pid));
  manifest_.head().set_host_info(wire::local_host_info().SerializeAsString());
  manifest_.head().set_comm(proc::parse_stat(read_file(fmt::format("/proc/{}/stat", options_.pid))).comm);
  store_ = make_dump_store(options_);
  memory_ = std::make_unique<DumpMemory>(options_, *store_, call_sites_, kernel_,
                                         [this](pid_t pid) -> MemoryMap& { return map_of(pid); });
}

void Dump::publish() {
  if (const std::string parent = memory_->parent_id(); !parent.empty()) manifest_.head().set_parent_id(parent);
  report_.pages = store_->pages_written();
  report_.parent_pages = memory_->parent_pages();
  manifest_.head().set_packets_held(!leaves_running() && packets_.reaches_outside());
  links_.hand_over();
  store_->publish(std::move(manifest_));
}

// Only memory, while the tree runs.
void Dump::run_pre() {
  begin();
  manifest_.head().set_kind(img::crx_manifest_entry::PRE_DUMP);
  const std::string set_id = manifest_.head().set_id();
  memory_->prepare();
  store_->begin_pages();
  describe_pre_dump(memory_->write_running(), store_->images());
  check_told_to_stop();
  publish();
  afterwards(kNextIsFull, [&] { memory_->keep(set_id); });
  report_.frozen_us = memory_->stop_us();
}

void Dump::run_whole() {
  begin();
  if (options_.check_only) manifest_.head().set_kind(img::crx_manifest_entry::CHECK_ONLY);
  const std::string set_id = manifest_.head().set_id();
  memory_->prepare();
  if (!options_.check_only) store_->begin_pages();
  check_told_to_stop();
  reserve_fd_table(options_.pid);
  FrozenTree tree = FrozenTree::freeze(options_.pid, Deadline::in_ms(options_.freeze_timeout_ms), kernel_);
  collect(tree);
  check_told_to_stop();
  if (!options_.check_only) memory_->write_frozen(tree, images_);
  check_told_to_stop();
  if (leaves_running()) {
    memory_->arm(tree);
    end(tree);  // what remains is not about the process
  }
  IpcLeftovers ipc_leftovers(images_, leaves_running() ? std::vector<SysvWaiter>() : stopped_waiters(tree));
  write_images(images_, store_->images());
  publish();
  if (leaves_running()) {
    afterwards(kNextIsFull, [&] { memory_->keep(set_id); });
  } else {
    end(tree);
    ipc_leftovers.remove();
  }
}

DumpReport Dump::run() {
  if (options_.pre) {
    run_pre();
  } else {
    run_whole();
  }
  if (options_.auto_dedup)
    afterwards("the pages that the set replaces are not freed",
               [&] { report_.freed_bytes = deduplicate(options_.images_dir); });
  report_.total_us = monotonic_us() - began_us_;
  return report_;
}

}  // namespace

DumpReport run_dump(const DumpOptions& options) {
  return Dump(options).run();
}

}  // namespace crx
