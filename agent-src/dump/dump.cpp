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
#include "agent-src/collect/kind/tree_members.hpp"
#include "agent-src/collect/memory/memory_map.hpp"
#include "agent-src/collect/sockets/tcp_block.hpp"
#include "agent-src/dump/dump_images.hpp"
#include "agent-src/dump/dump_memory.hpp"
#include "agent-src/dump/dump_store.hpp"
#include "agent-src/freeze/fd_table_reserve.hpp"
#include "agent-src/freeze/quiescent_freeze.hpp"
#include "agent-src/snapshot/inspection.hpp"
#include "agent-src/snapshot/state_collection.hpp"
#include "agent-src/tool/systemd_unit.hpp"
#include "agent-src/tool/worker.hpp"
#include "common/base/error.hpp"
#include "common/base/log.hpp"
#include "common/image/dedup/dedup.hpp"
#include "common/image/image_store.hpp"
#include "common/image/magic.hpp"
#include "common/kernel/introspect/kernel_view.hpp"
#include "common/kernel/process/pidfd.hpp"
#include "common/kernel/process/thawed_groups.hpp"
#include "common/proc/stat.hpp"
#include "common/remote/wait_status.hpp"
#include "common/tool/error_json.hpp"
#include "common/tool/findings.hpp"
#include "wire/host_info.hpp"

namespace crx {
namespace {

constexpr int64_t kEndMs = 10'000;

// Throws Error if crx-dump was asked to stop. To be called only while the dump can still be abandoned and the process
// resumed.
void check_dump_stop() {
  if (!stop_requested()) return;
  throw Error(ErrorCode::kernel, "dumping", "crx-dump was told to stop")
      .with_hint("the process runs on, and there is no new set");
}

constexpr char kNextIsFull[] = "the next dump will be full";

// Runs a step that follows once the set is complete; if it fails, the dump has still succeeded.
template <typename Action>
void afterwards(const char* consequence, Action action) {
  try {
    action();
  } catch (const Error& error) {
    log::warn("{}: {}", consequence, error.what());
  }
}

// The member functions run in the order in which run() calls them. Single-threaded, except that DumpPages writes pages
// in other threads.
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
  ThawedGroups thawed_;  // destroyed last
  int64_t began_us_;
  DumpReport report_;
  CallSites call_sites_;
  KernelView kernel_{!options_.no_kernel_introspection};
  FileTable files_;
  std::map<pid_t, std::unique_ptr<MemoryMap>> maps_;
  // This map is that of the root.
  MemoryMap& map_;
  std::unique_ptr<DumpStore> store_;
  std::unique_ptr<DumpMemory> memory_;
  ImageStore images_;
  Manifest manifest_ = Manifest::begin(img::crx_manifest_entry::DUMP);
  // It blocks packets from the collection of TCP connections on.
  TcpBlock packets_{manifest_.id_text()};
  // The set refers to the names that this object makes.
  LinkRemaps links_{manifest_.id_text().substr(0, 16)};
  // The unit would restart the original.
  std::optional<SystemdUnit> unit_;
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
  if (options_.thaw) thawed_.thaw_for(options_.pid);
  const TreeSnapshot snapshot = list_tree(options_.pid);
  const std::vector<TaskNode>& tree = snapshot.tasks;
  std::vector<Refusal> refusals = inspect_tree(snapshot, collect_options());
  if (!holds_caller(tree)) {
    const auto mappings_of = [this](pid_t pid) -> MemoryMap& { return map_of(pid); };
    for (const pid_t pid : inspect_mappings(options_.pid, tree, mappings_of, refusals)) maps_.erase(pid);
  }
  if (!leaves_running() && !options_.pre) unit_ = inspect_unit(tree, options_.unit, refusals);
  std::vector<Finding> findings;
  for (const Refusal& r : refusals) findings.push_back({true, {}, r.object, r.reason, r.remedy});
  for (const FindingLine& line : render_findings(findings)) std::fprintf(stderr, "crx-dump: %s\n", line.text.c_str());
  if (options_.json) {
    for (const Refusal& r : refusals) std::printf("%s\n", finding_line(r.object, r.reason, r.remedy).c_str());
  }
  if (!refusals.empty()) {
    throw Error(ErrorCode::refused, "looking at the process", fmt::format("process {} cannot be dumped", options_.pid));
  }
}

// Collects the state before memory is read (see collect_state()), and adds the parts that a set needs and a migration
// does not.
void Dump::collect(FrozenTree& tree) {
  const StateCollection what{tree, files_, call_sites_, [this](pid_t pid) -> MemoryMap& { return map_of(pid); },
                             [this](pid_t pid) { return pid != options_.pid; }};
  images_ = collect_state(what, collect_options(), nullptr);
  const SpaceOwners owners = space_owners(tree);
  for (const auto& task : tree.tasks()) {
    const MemoryMap& map = map_of(owners.at(task->pid()));
    add_commit_charged(task->pid(), map.commit_charged(), images_);
    // Those that are open are in the image already.
    for (const img::memfd_inode_entry& memfd : map.memfds()) {
      if (files_.first_memfd(memfd.shmid())) images_.append(image_file::kMemfdInode, memfd);
    }
  }
}

// Ends the tree, or resumes it if it is to run on. All processes are killed before the first one is reaped, so that
// none of them sees another one end.
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
  } catch (const Error& error) {  // another program has killed the process; the set is complete nevertheless
    if (error.code() != ErrorCode::victim_gone) throw;
  }
  packets_.close_silently();
  for (const auto& task : tree.tasks()) send_signal(task->pidfd(), SIGKILL);
  report_.frozen_us = monotonic_us() - stopped_us;
  for (const auto& task : tree.tasks()) release_memory(task->pidfd());
  for (auto task = tree.tasks().rbegin(); task != tree.tasks().rend(); ++task) reap_all(**task);
  // Without the table the kernel would answer a packet that finds no socket with a reset. crx-restore removes the
  // table.
  packets_.leave_installed();
  if (unit_ && options_.unit == UnitPolicy::stop) forget_failure(*unit_);
}

void Dump::reap_all(FrozenTask& task) {
  // As the tracer we have to reap each thread before its parent sees the process end. The leader is reaped last: the
  // kernel reports its end only when all other threads have been reaped.
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

// Dumps only memory, while the tree runs.
void Dump::run_pre() {
  begin();
  manifest_.head().set_kind(img::crx_manifest_entry::PRE_DUMP);
  const std::string set_id = manifest_.head().set_id();
  const TreeSnapshot tree = list_tree(options_.pid);
  memory_->prepare(tree);
  store_->begin_pages();
  describe_pre_dump(memory_->write_running(tree), store_->images());
  check_dump_stop();
  publish();
  afterwards(kNextIsFull, [&] { memory_->keep(set_id); });
  report_.frozen_us = memory_->stop_us();
}

void Dump::run_whole() {
  begin();
  if (options_.check_only) manifest_.head().set_kind(img::crx_manifest_entry::CHECK_ONLY);
  const std::string set_id = manifest_.head().set_id();
  const TreeSnapshot running = list_tree(options_.pid);
  memory_->prepare(running);
  if (!options_.check_only) store_->begin_pages();
  check_dump_stop();
  reserve_fd_table(living(running.tasks));
  FrozenTree tree = freeze_quiescent(options_.pid, options_.freeze_timeout_ms, kernel_);
  collect(tree);
  check_dump_stop();
  if (!options_.check_only) memory_->write_frozen(tree, images_);
  check_dump_stop();
  if (leaves_running()) {
    memory_->arm(tree);
    // The remaining steps do not need the processes.
    end(tree);
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
