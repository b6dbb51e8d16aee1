#include "agent-dst/restore_run.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "agent-dst/restore/file_opener.hpp"
#include "agent-dst/restore/restore_task.hpp"
#include "agent-dst/restore_check.hpp"
#include "agent-dst/restore_images.hpp"
#include "agent-dst/vessel/shmem_table.hpp"
#include "agent-dst/vessel/vessel.hpp"
#include "common/base/clock.hpp"
#include "common/base/error.hpp"
#include "common/base/log.hpp"
#include "common/image/inventory.pb.h"
#include "common/image/magic.hpp"
#include "common/image/regular.pb.h"
#include "common/kernel/time_namespace.hpp"

namespace crx {
namespace {

constexpr uint64_t kPieceBytes = uint64_t{1} << 20;
constexpr uint32_t kMaxPid = 1 << 22;

// The vDSO and its data, which the kernel fills.
std::vector<PageRange> kernel_ranges(const img::mm_entry& mm) {
  std::vector<PageRange> ranges;
  for (const img::vma_entry& vma : mm.vmas()) {
    if ((vma.status() & (vma_status::kVdso | vma_status::kVvar | vma_status::kVsyscall)) == 0) continue;
    append_range(ranges, {vma.start(), vma.end()});
  }
  return ranges;
}

class Restore {
 public:
  explicit Restore(const RestoreOptions& options)
      : set_(ImageSet::open(options.images_dir)), images_(load_images(set_)), files_(make_file_opener()) {
    if (options.shell_job) shmem_.ptys().use_callers();
    shmem_.segments(images_);
  }
  pid_t run(const std::function<void(pid_t)>& about_to_run);

 private:
  void check_kind() const;
  void read_tree();
  void continue_clocks() const;
  void map(Vessel& vessel);
  void fill(Vessel& vessel);
  void fill_objects();
  template <typename Write>
  void copy_pages(PageSpace space, Write write);
  void build(Vessel& vessel);

  ImageSet set_;
  ImageStore images_;
  std::unique_ptr<FileOpener> files_;
  ShmemTable shmem_;
  img::pstree_entry root_;
  img::crx_task_entry extra_;
  std::vector<uint64_t> accounted_;
  std::vector<std::byte> buffer_;
  std::optional<RestoreContext> context_;
  std::optional<TaskRestore> task_;
};

void Restore::check_kind() const {
  const Manifest* manifest = set_.manifest();
  if (manifest != nullptr && manifest->head().kind() == img::crx_manifest_entry::PRE_DUMP) {
    throw Error(ErrorCode::refused, "restoring", set_.images().path() + " holds memory only: it is a pre-dump")
        .with_hint("restore the set that was made after it");
  }
}

void Restore::read_tree() {
  const auto tasks = images_.read_all<img::pstree_entry>(image_file::kPstree);
  if (tasks.empty()) throw Error(ErrorCode::corrupt_image, "reading images", "pstree.img: there is no process in it");
  if (tasks.size() > 1) throw Error(ErrorCode::unsupported, "restoring", "the set holds more than one process");
  root_ = tasks.front();
  if (root_.pid() == 0 || root_.pid() > kMaxPid) {
    throw Error(ErrorCode::corrupt_image, "reading images", fmt::format("pstree.img: PID {} is impossible", root_.pid()));
  }
  if (const auto extra = images_.try_read_one<img::crx_task_entry>(image_file::crx_task(root_.pid()))) extra_ = *extra;
  accounted_ = accounted_of(extra_);
}

// The time that the set lay on the disk has not passed for the tree.
void Restore::continue_clocks() const {
  if (!extra_.has_monotonic_ns() || !extra_.has_boottime_ns()) return;
  const TimeOffsets ours = time_offsets(0);
  unshare_time({extra_.monotonic_ns() - (clock_ns(CLOCK_MONOTONIC) - ours.monotonic_ns),
                extra_.boottime_ns() - (clock_ns(CLOCK_BOOTTIME) - ours.boottime_ns)});
}

void Restore::map(Vessel& vessel) {
  for (const auto& entry : images_.read_all<img::file_entry>(image_file::kFiles)) files_->add(entry);
  files_->add_ghosts(images_);
  for (const auto& inode : images_.read_all<img::memfd_inode_entry>(image_file::kMemfdInode)) shmem_.memfd(inode);
  vessel.apply_layout(images_.read_one<img::mm_entry>(image_file::mm(root_.pid())), accounted_, *files_, shmem_);
}

template <typename Write>
void Restore::copy_pages(PageSpace space, Write write) {
  buffer_.resize(kPieceBytes);
  for (const PagePiece& piece : set_.pages(space)) {
    for (uint64_t at = piece.range.start; at < piece.range.end;) {
      const PageRange part{at, std::min(piece.range.end, at + kPieceBytes)};
      const std::span<std::byte> bytes = std::span(buffer_).first(part.bytes());
      set_.read(piece, part, bytes);
      write(part, bytes);
      at = part.end;
    }
  }
}

void Restore::fill(Vessel& vessel) {
  if (set_.images().contains(image_file::pagemap(root_.pid()))) {
    const std::vector<PageRange> kernels = kernel_ranges(vessel.layout());
    copy_pages({PageSpace::Kind::mm, root_.pid()}, [&](PageRange part, std::span<const std::byte> bytes) {
      for (const PageRange& range : subtract({part}, kernels)) {
        vessel.write_pages({range}, bytes.subspan(range.start - part.start, range.bytes()));
      }
    });
  }
  const std::vector<PageRange> guards = guards_of(extra_);
  if (!guards.empty()) vessel.guard_pages(guards);
}

void Restore::fill_objects() {
  constexpr std::string_view kPrefix = "pagemap-shmem-";
  for (const std::string& name : set_.images().names()) {
    if (!name.starts_with(kPrefix)) continue;
    const uint64_t id = std::strtoull(name.c_str() + kPrefix.size(), nullptr, 10);
    if (!shmem_.contains(id)) continue;
    copy_pages({PageSpace::Kind::shmem, id},
               [&](PageRange part, std::span<const std::byte> bytes) { shmem_.write_pages(id, {part}, bytes); });
  }
}

void Restore::build(Vessel& vessel) {
  context_.emplace(RestoreContext{vessel, images_, *files_, shmem_, vessel.pid(), {}, {}});
  load_task_images(*context_);
  task_.emplace(*context_);
  task_->prepare();
  task_->process();
  task_->threads();
  const Fd exe = files_->open(vessel.layout().exe_file_id());
  vessel.set_mm_fields(exe.get());
  vessel.apply_vma_attributes(context_->extra);
  shmem_.seal_all();
  task_->last();
  task_->registers();
}

pid_t Restore::run(const std::function<void(pid_t)>& about_to_run) {
  check_kind();
  read_tree();
  for (const RestoreFinding& found : check_restore(set_, images_)) {
    throw Error(ErrorCode::refused, "restoring", found.object + " " + found.reason).with_hint(found.remedy);
  }
  continue_clocks();
  VesselPlan plan;
  plan.pid = static_cast<pid_t>(root_.pid());
  plan.sid = static_cast<pid_t>(root_.sid());
  plan.pgid = static_cast<pid_t>(root_.pgid());
  Vessel vessel = Vessel::create(plan);
  map(vessel);
  fill(vessel);
  fill_objects();
  build(vessel);
  about_to_run(plan.pid);
  task_->commit();
  vessel.release();
  return plan.pid;
}

}  // namespace

pid_t run_restore(const RestoreOptions& options, const std::function<void(pid_t)>& about_to_run) {
  const int64_t began_us = monotonic_us();
  const pid_t pid = Restore(options).run(about_to_run);
  log::info("process {} runs after {} us", pid, monotonic_us() - began_us);
  return pid;
}

bool run_restore_check(const RestoreOptions& options) {
  const ImageSet set = ImageSet::open(options.images_dir);
  const ImageStore images = load_images(set);
  const std::vector<RestoreFinding> findings = check_restore(set, images);
  for (const RestoreFinding& found : findings) {
    if (options.json) {
      const nlohmann::json line = {{"event", "finding"}, {"object", found.object}, {"reason", found.reason}, {"remedy", found.remedy}};
      std::printf("%s\n", line.dump().c_str());
    } else {
      std::printf("%s %s; %s\n", found.object.c_str(), found.reason.c_str(), found.remedy.c_str());
    }
  }
  if (options.json) std::printf("{\"event\":\"checked\",\"findings\":%zu}\n", findings.size());
  return findings.empty();
}

bool is_check_only(const std::string& images_dir) noexcept {
  try {
    const DirectorySource images(images_dir);
    const auto manifest = images.contains(image_file::kCrxIntegrity)
                              ? std::optional(Manifest::read(images.load(image_file::kCrxIntegrity), images_dir))
                              : std::nullopt;
    return manifest && manifest->head().kind() == img::crx_manifest_entry::CHECK_ONLY;
  } catch (const std::exception&) {
    return false;
  }
}

}  // namespace crx
