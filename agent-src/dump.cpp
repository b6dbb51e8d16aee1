#include "agent-src/dump.hpp"

#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <map>
#include <memory>

#include "agent-src/collect/file_table.hpp"
#include "agent-src/collect/memfd.hpp"
#include "agent-src/collect/memory_map.hpp"
#include "agent-src/collect/sysv_ipc.hpp"
#include "agent-src/collect/vma_attributes.hpp"
#include "agent-src/dump_images.hpp"
#include "agent-src/dump_pages.hpp"
#include "agent-src/dump_tracking.hpp"
#include "agent-src/frozen_tree.hpp"
#include "agent-src/memory/comparing_trackers.hpp"
#include "agent-src/memory/page_sender.hpp"
#include "agent-src/memory/shared_objects.hpp"
#include "agent-src/worker.hpp"
#include "agent-src/packet_block.hpp"
#include "common/base/error.hpp"
#include "common/base/journal.hpp"
#include "common/base/log.hpp"
#include "common/image/dedup.hpp"
#include "common/image/image_store.hpp"
#include "common/image/magic.hpp"
#include "common/kernel/pidfd.hpp"
#include "common/proc/stat.hpp"
#include "common/proc/status.hpp"
#include "wire/host_info.hpp"
#include "wire/page_server.hpp"

namespace crx {
namespace {

constexpr uint64_t kFlagsInFreezeBytes = uint64_t{256} << 20;
constexpr int64_t kEndMs = 10'000;

// Waits for the end of a thread that we trace and that has been killed. False when the deadline passed.
bool reap(pid_t tid, Deadline deadline) {
  for (;;) {
    int status = 0;
    const pid_t got = ::waitpid(tid, &status, __WALL | WNOHANG);
    if (got < 0 && errno != EINTR) return true;
    if (got == tid && !WIFSTOPPED(status)) return true;
    if (deadline.passed()) return false;
    if (got == 0) ::usleep(50);
  }
}

// Where it can still be given up: the process runs on then.
void check_told_to_stop() {
  try {
    check_stop();
  } catch (const Error&) {
    throw Error(ErrorCode::kernel, "dumping", "crx-dump was told to stop").with_hint("the process runs on, and there is no new set");
  }
}

// Steps in the order of run(). Single-threaded but for the writing of pages.
class Dump {
 public:
  explicit Dump(const DumpOptions& options) : options_(options), began_us_(monotonic_us()), map_(map_of(options.pid)) {}
  DumpReport run();

 private:
  CollectOptions collect_options();
  void inspect();
  void collect(FrozenTree& tree);
  bool leaves_running() const { return options_.leave_running || options_.check_only; }
  MemoryMap& map_of(pid_t pid);
  void write_space(pid_t pid, const SpacePages& found, DumpPages& pages, bool all);
  void write_objects(const FrozenTree& tree, DumpPages& pages);
  void finish_pages(DumpPages& pages);
  void collect_memory(const FrozenTree& tree, DumpTracking& tracking, DumpPages& pages);
  void end(FrozenTree& tree);
  void reap_all(FrozenTask& task);
  void begin();
  void publish(DirectorySink& set, const DumpTracking& tracking);
  void connect_page_server();
  void run_pre();
  void run_whole();

  const DumpOptions& options_;
  int64_t began_us_;
  DumpReport report_;
  CallSites call_sites_;
  FileTable files_;
  std::map<pid_t, std::unique_ptr<MemoryMap>> maps_;
  MemoryMap& map_;  // the root's
  std::unique_ptr<wire::TlsContext> tls_;
  std::unique_ptr<wire::PageServerClient> page_server_;
  ImageStore images_;
  PacketBlock packets_{make_session_id()};  // from the collection of TCP connections on
  Manifest manifest_ = Manifest::begin(img::crx_manifest_entry::DUMP);
  bool has_seccomp_ = false;
  std::map<PageSpace, std::vector<PageRange>> in_parent_;
};

CollectOptions Dump::collect_options() {
  CollectOptions collect;
  collect.shell_job = options_.shell_job;
  collect.ext_unix_sk = options_.ext_unix_sk;
  collect.tcp_established = options_.tcp_established;
  collect.packets = &packets_;
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
  for (const TreeTask& task : list_tree(options_.pid)) {
    if (task.dead) continue;
    try {
      MemoryMap& map = map_of(task.pid);
      map.read();
      lists.push_back(map.refusals());
    } catch (const Error&) {
      TreeTask now;
      if (task.pid == options_.pid || (try_read_task(task.pid, now) && !now.dead)) throw;
      maps_.erase(task.pid);  // it has ended meanwhile
    }
  }
  for (const std::vector<Refusal>& list : lists) {
    for (const Refusal& refusal : list) {
      std::fprintf(stderr, "crx-dump: %s: %s; %s\n", refusal.object.c_str(), refusal.reason.c_str(), refusal.remedy.c_str());
      refused = true;
    }
  }
  if (refused) {
    throw Error(ErrorCode::refused, "looking at the process", fmt::format("process {} cannot be dumped", options_.pid));
  }
}

// In whose address space a process is: its own, or that of somebody above it.
pid_t space_owner(const FrozenTree& tree, pid_t pid) {
  for (const TreeTask& member : tree.members()) {
    if (member.pid == pid) return member.shares_memory() ? space_owner(tree, member.ppid) : pid;
  }
  return pid;
}

bool has_own_space(const FrozenTree& tree, const FrozenTask& task) { return space_owner(tree, task.pid()) == task.pid(); }

// Before the memory is read: threads that make calls for us have the kernel write into their memory (rseq).
void Dump::collect(FrozenTree& tree) {
  for (const auto& task : tree.tasks()) {
    if (!has_own_space(tree, *task)) continue;
    MemoryMap& map = map_of(task->pid());
    map.read();
    if (!map.flags_are_current() && (task->pid() != options_.pid || map.resident_bytes() < kFlagsInFreezeBytes)) map.read_flags();
    map.describe();  // its files belong into the table
  }
  tree.inject(call_sites_);
  collect_tree(tree, files_, collect_options(), images_);
  for (const auto& task : tree.tasks()) {
    const auto pid = static_cast<uint32_t>(task->pid());
    MemoryMap& map = map_of(space_owner(tree, task->pid()));
    auto extra = images_.read_one<img::crx_task_entry>(image_file::crx_task(pid));
    if (has_own_space(tree, *task)) add_vma_attributes(*task, map, extra);
    const img::mm_entry mm = map.describe(task->program_break());
    add_accounted(map.accounted(), mm, extra);
    images_.erase(image_file::crx_task(pid));
    images_.append(image_file::crx_task(pid), extra);
    images_.append(image_file::mm(pid), mm);
  }
  tree.settle();
}

PageSpace space_of(pid_t pid) { return {PageSpace::Kind::mm, static_cast<uint64_t>(pid)}; }

// All of a stopped process's private memory.
SpacePages whole_space(pid_t pid, const std::vector<MemoryVma>& vmas) {
  const HashTracker tracker(pid);
  FrozenPages frozen;
  for (const MemoryVma& vma : vmas) {
    if (is_private(vma.kind)) tracker.frozen_private(vma, frozen);
  }
  SpacePages found;
  found.here = std::move(frozen.present);
  found.guards = std::move(frozen.guards);
  return found;
}

// Private memory. Pages that cannot be read are an error where the set must hold all of them.
void Dump::write_space(pid_t pid, const SpacePages& found, DumpPages& pages, bool all) {
  pages.begin(space_of(pid));
  MemoryReader reader(pid);
  const SendOutcome outcome = send_pages(space_of(pid), found.here, reader, pages, nullptr);
  if (all && !outcome.failed.empty()) {
    throw Error(ErrorCode::refused, "reading memory",
                fmt::format("the page at {:x} and {} more cannot be read", outcome.failed.front().start,
                            total_pages(outcome.failed) - 1))
        .with_pid(pid)
        .with_hint("memory with hardware errors, or of a device, cannot be dumped");
  }
  in_parent_[space_of(pid)] = found.in_parent;
}

void Dump::write_objects(const FrozenTree& tree, DumpPages& pages) {
  SharedObjects objects;
  std::vector<std::unique_ptr<Tracker>> trackers;
  std::vector<MappedSpace> mapped;
  for (const auto& task : tree.tasks()) {
    for (OpenMemfd& memfd : open_memfds(task->pid())) objects.offer(std::move(memfd.fd));
    if (!has_own_space(tree, *task)) continue;
    trackers.push_back(std::make_unique<HashTracker>(task->pid()));
    mapped.push_back({task->pid(), trackers.back().get(), &map_of(task->pid()).vmas()});
  }
  MemoryStatistics statistics;
  const std::vector<FinalObject> found = objects.final_scan(mapped, statistics);
  for (const FinalObject& object : found) pages.begin({PageSpace::Kind::shmem, object.id.ino});
  objects.send_final(found, pages, statistics);
}

void Dump::finish_pages(DumpPages& pages) {
  pages.drain();
  pages.finish(in_parent_);
  report_.pages = pages.pages();
  report_.parent_pages = 0;
  for (const auto& [where, ranges] : in_parent_) report_.parent_pages += total_pages(ranges);
}

// Only the root's memory is tracked from set to set: that of its descendants is in every set.
void Dump::collect_memory(const FrozenTree& tree, DumpTracking& tracking, DumpPages& pages) {
  for (const auto& task : tree.tasks()) {
    const pid_t pid = task->pid();
    if (!has_own_space(tree, *task)) continue;
    const std::vector<MemoryVma>& vmas = map_of(pid).vmas();
    SpacePages found = pid == options_.pid ? tracking.frozen_pages(vmas) : whole_space(pid, vmas);
    // CRIU compares the vDSO's text with its own kernel's.
    found.here = unite(found.here, vdso_of(images_, pid));
    add_guards(pid, found.guards, images_);
    write_space(pid, found, pages, true);
  }
  write_objects(tree, pages);
  finish_pages(pages);
}

// All are killed before one is reaped, so that nobody sees another's end.
void Dump::end(FrozenTree& tree) {
  if (leaves_running()) {
    tree.thaw();
    packets_.release();
    return;
  }
  tree.eject();
  packets_.silence();
  for (const auto& task : tree.tasks()) send_signal(task->pidfd(), SIGKILL);
  for (auto task = tree.tasks().rbegin(); task != tree.tasks().rend(); ++task) reap_all(**task);
}

void Dump::reap_all(FrozenTask& task) {
  // We are the tracer: our part is reaped, so that its parent sees it end. The leader last: the kernel reports its end
  // only when all other threads have been reaped.
  const Deadline deadline = Deadline::in_ms(kEndMs);
  for (auto thread = task.threads().rbegin(); thread != task.threads().rend(); ++thread) {
    if (!reap(thread->tid(), deadline)) log::warn("process {} does not end; the images are complete", task.pid());
    thread->traced.forget();
  }
  task.threads().clear();
}

void Dump::begin() {
  inspect();
  map_.read_flags();
  const std::string proc = fmt::format("/proc/{}/", options_.pid);
  has_seccomp_ = proc::parse_status(read_file(proc + "status")).seccomp != 0;
  manifest_.head().set_pid(static_cast<uint32_t>(options_.pid));
  manifest_.head().set_host_info(wire::local_host_info().SerializeAsString());
  manifest_.head().set_comm(proc::parse_stat(read_file(proc + "stat")).comm);
}

void Dump::connect_page_server() {
  if (options_.page_server.host.empty()) return;
  if (!options_.insecure) tls_ = std::make_unique<wire::TlsContext>(wire::TlsRole::client, options_.tls_dir);
  page_server_ = std::make_unique<wire::PageServerClient>(wire::PageStream::connect(options_.page_server, tls_.get()));
  manifest_.head().set_pages_elsewhere(true);
}

// The set is on the disk and has its name when this returns.
void Dump::publish(DirectorySink& set, const DumpTracking& tracking) {
  const std::string set_id = manifest_.head().set_id();
  if (!tracking.parent_id().empty()) {
    manifest_.head().set_parent_id(tracking.parent_id());
    set.set_parent(options_.prev_images_dir);
  }
  set.set_manifest(std::move(manifest_));
  set.commit();
}

// Only memory, while the process runs.
void Dump::run_pre() {
  begin();
  manifest_.head().set_kind(img::crx_manifest_entry::PRE_DUMP);
  const std::string set_id = manifest_.head().set_id();
  DirectorySink set(options_.images_dir);
  DumpTracking tracking(options_, call_sites_.of(options_.pid), has_seccomp_);
  map_.read();
  const SpacePages found = tracking.running_pages(map_.vmas());
  {
    DumpPages pages(set);
    write_space(options_.pid, found, pages, false);
    finish_pages(pages);
  }
  describe_pre_dump(options_.pid, set);
  publish(set, tracking);
  tracking.keep(set_id);
  report_.frozen_us = tracking.stop_us();
}

void Dump::run_whole() {
  begin();
  if (options_.check_only) manifest_.head().set_kind(img::crx_manifest_entry::CHECK_ONLY);
  const std::string set_id = manifest_.head().set_id();
  DirectorySink set(options_.images_dir);
  DumpTracking tracking(options_, call_sites_.of(options_.pid), has_seccomp_);
  connect_page_server();
  check_told_to_stop();
  FrozenTree tree = FrozenTree::freeze(options_.pid, Deadline::in_ms(options_.freeze_timeout_ms));
  const int64_t stopped_us = tree.stopped_since_us();
  {
    DumpPages pages(set, page_server_.get());
    collect(tree);
    check_told_to_stop();
    if (!options_.check_only) collect_memory(tree, tracking, pages);
  }
  check_told_to_stop();
  if (leaves_running()) {
    tracking.arm(map_.vmas());
    end(tree);  // what remains is not about the process
    report_.frozen_us = monotonic_us() - stopped_us;
  }
  IpcLeftovers ipc_leftovers(images_, leaves_running() ? std::vector<SysvWaiter>() : stopped_waiters(tree));
  write_images(images_, set);
  publish(set, tracking);
  if (leaves_running()) {
    tracking.keep(set_id);
  } else {
    end(tree);
    ipc_leftovers.remove();
    report_.frozen_us = monotonic_us() - stopped_us;
  }
}

DumpReport Dump::run() {
  if (options_.pre) {
    run_pre();
  } else {
    run_whole();
  }
  if (options_.auto_dedup) report_.freed_bytes = deduplicate(options_.images_dir);
  report_.total_us = monotonic_us() - began_us_;
  return report_;
}

}  // namespace

DumpReport run_dump(const DumpOptions& options) { return Dump(options).run(); }

}  // namespace crx
