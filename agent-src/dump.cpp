#include "agent-src/dump.hpp"

#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <memory>
#include <optional>

#include "agent-src/collect/file_table.hpp"
#include "agent-src/collect/memfd.hpp"
#include "agent-src/collect/memory_map.hpp"
#include "agent-src/collect/vma_attributes.hpp"
#include "agent-src/dump_images.hpp"
#include "agent-src/dump_pages.hpp"
#include "agent-src/frozen_task.hpp"
#include "agent-src/memory/comparing_trackers.hpp"
#include "agent-src/memory/memory_rounds.hpp"
#include "common/base/error.hpp"
#include "common/base/log.hpp"
#include "common/image/image_store.hpp"
#include "common/image/magic.hpp"
#include "common/kernel/pidfd.hpp"
#include "common/proc/stat.hpp"
#include "common/proc/status.hpp"

namespace crx {
namespace {

constexpr uint64_t kFlagsInFreezeBytes = uint64_t{256} << 20;
constexpr int64_t kEndMs = 10'000;

uint64_t program_break(FrozenTask& task) {
  RemoteBatch batch(task.arena(), 1);
  const std::size_t brk = batch.add("asking for the program break", SYS_brk, 0);
  task.remote(0).run(batch);
  return static_cast<uint64_t>(batch.checked(brk));
}

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

// Steps in the order of run(). Single-threaded but for the writing of pages.
class Dump {
 public:
  explicit Dump(const DumpOptions& options) : options_(options), began_us_(monotonic_us()), map_(options.pid, files_) {}
  DumpReport run();

 private:
  CollectOptions collect_options() const;
  void inspect();
  void collect(FrozenTask& task);
  void collect_memory(DumpPages& pages);
  void end(FrozenTask& task);

  const DumpOptions& options_;
  int64_t began_us_;
  DumpReport report_;
  FileTable files_;
  MemoryMap map_;
  ImageStore images_;
  std::vector<img::memfd_inode_entry> open_memfds_;
};

CollectOptions Dump::collect_options() const {
  CollectOptions collect;
  collect.ghost_limit_bytes = options_.ghost_limit;
  collect.file_locks = options_.file_locks;
  return collect;
}

void Dump::inspect() {
  map_.read();
  bool refused = false;
  for (const auto& list : {inspect_task(options_.pid, collect_options()), map_.refusals()}) {
    for (const Refusal& refusal : list) {
      std::fprintf(stderr, "crx-dump: %s: %s; %s\n", refusal.object.c_str(), refusal.reason.c_str(), refusal.remedy.c_str());
      refused = true;
    }
  }
  if (refused) {
    throw Error(ErrorCode::refused, "looking at the process", fmt::format("process {} cannot be dumped", options_.pid));
  }
}

// Before the memory is read: threads that make calls for us have the kernel write into their memory (rseq).
void Dump::collect(FrozenTask& task) {
  map_.read();
  if (!map_.flags_are_current() && map_.resident_bytes() < kFlagsInFreezeBytes) map_.read_flags();
  map_.describe();  // its files belong into the table
  task.inject(find_vdso_syscall(options_.pid));
  const uint64_t brk = program_break(task);
  collect_task(task, files_, collect_options(), images_);
  const auto pid = static_cast<uint32_t>(options_.pid);
  auto extra = images_.read_one<img::crx_task_entry>(image_file::crx_task(pid));
  add_vma_attributes(task, map_, extra);
  task.settle();
  const img::mm_entry mm = map_.describe(brk);
  add_accounted(map_.accounted(), mm, extra);
  images_.erase(image_file::crx_task(pid));
  images_.append(image_file::crx_task(pid), extra);
  images_.append(image_file::mm(pid), mm);
}

void Dump::collect_memory(DumpPages& pages) {
  MemoryRounds rounds;
  rounds.add_space(options_.pid, std::make_unique<HashTracker>(options_.pid));
  for (OpenMemfd& memfd : open_memfds(options_.pid)) rounds.objects().offer(std::move(memfd.fd));
  const SpaceVmas space{options_.pid, map_.vmas()};
  MemoryStatistics statistics;
  FinalMemory memory = rounds.final_scan(std::span(&space, 1), statistics);
  for (FinalSpace& found : memory.spaces) {
    // CRIU compares the vDSO's text with its own kernel's.
    found.dirty = unite(found.dirty, vdso_of(images_, found.pid));
    pages.begin({PageSpace::Kind::mm, static_cast<uint64_t>(found.pid)});
    add_guards(found, images_);
  }
  for (const FinalObject& found : memory.objects) pages.begin({PageSpace::Kind::shmem, found.id.ino});
  rounds.send_final(memory, pages, statistics);
  pages.drain();
  pages.finish({});
  report_.pages = pages.pages();
}

void Dump::end(FrozenTask& task) {
  if (options_.leave_running) return task.thaw();
  task.eject();
  send_signal(task.pidfd(), SIGKILL);
  // We are the tracer: our part is reaped, so that its parent sees it end. The leader last: the kernel reports its end
  // only when all other threads have been reaped.
  const Deadline deadline = Deadline::in_ms(kEndMs);
  for (auto thread = task.threads().rbegin(); thread != task.threads().rend(); ++thread) {
    if (!reap(thread->tid(), deadline)) log::warn("process {} does not end; the images are complete", options_.pid);
    thread->traced.forget();
  }
  task.threads().clear();
}

DumpReport Dump::run() {
  inspect();
  map_.read_flags();
  DirectorySink set(options_.images_dir);
  Manifest manifest = Manifest::begin(img::crx_manifest_entry::DUMP);
  const proc::Stat stat = proc::parse_stat(read_file(fmt::format("/proc/{}/stat", options_.pid)));
  const auto status = proc::parse_status(read_file(fmt::format("/proc/{}/status", options_.pid)));
  manifest.head().set_pid(static_cast<uint32_t>(options_.pid));
  manifest.head().set_comm(stat.comm);
  DumpPages pages(set);
  FrozenTask task = FrozenTask::freeze(options_.pid, Deadline::in_ms(options_.freeze_timeout_ms), status.seccomp != 0);
  collect(task);
  collect_memory(pages);
  write_images(images_, set);
  if (options_.leave_running) end(task);  // what remains is not about the process
  report_.frozen_us = monotonic_us() - task.stopped_since_us();
  set.set_manifest(std::move(manifest));
  set.commit();
  if (!options_.leave_running) end(task);
  report_.total_us = monotonic_us() - began_us_;
  return report_;
}

}  // namespace

DumpReport run_dump(const DumpOptions& options) { return Dump(options).run(); }

}  // namespace crx
