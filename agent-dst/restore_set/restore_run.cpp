#include "agent-dst/restore_set/restore_run.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "agent-dst/files/file_opener.hpp"
#include "agent-dst/objects/shmem_table.hpp"
#include "agent-dst/policy/policy.hpp"
#include "agent-dst/restore/restore_tree.hpp"
#include "agent-dst/restore_set/complete_set.hpp"
#include "agent-dst/restore_set/held_packets.hpp"
#include "agent-dst/restore_set/restore_check.hpp"
#include "agent-dst/restore_set/restore_images.hpp"
#include "agent-dst/restore_set/restore_memory.hpp"
#include "agent-dst/restore_set/set_origin.hpp"
#include "agent-dst/vessel/vessel.hpp"
#include "common/base/clock.hpp"
#include "common/base/error.hpp"
#include "common/base/log.hpp"
#include "common/image/magic.hpp"
#include "common/image/schema/inventory.pb.h"
#include "common/image/schema/regular.pb.h"
#include "common/kernel/process/time_namespace.hpp"
#include "common/proc/proc_dir.hpp"
#include "common/tool/error_json.hpp"
#include "common/tool/findings.hpp"
#include "wire/signature/trusted_signers.hpp"

namespace crx {
namespace {

constexpr pid_t kMaxPid = 1 << 22;

// Opens the set; with --require-signature it must be signed, and so must its parents.
ImageSet open_set(const RestoreOptions& options) {
  if (!options.require_signature) return ImageSet::open(options.images_dir);
  const wire::TrustedSigners signers(options.tls_dir, options.tls_crl);
  return ImageSet::open(options.images_dir, &signers);
}

class Restore {
 public:
  explicit Restore(const RestoreOptions& options)
      : cgroups_(options.cgroups),
        json_(options.json),
        set_(open_set(options)),
        images_(load_images(set_)),
        files_(make_file_opener()) {
    if (options.shell_job) shmem_.ptys().use_callers();
    shmem_.segments(images_);
  }
  // Throws Error; where the set is at fault, or could not be followed, the error names an image of it.
  pid_t run(const std::function<void(pid_t)>& about_to_run);

 private:
  pid_t restore(const std::function<void(pid_t)>& about_to_run);
  void check_kind() const;
  void read_tree();
  void give_way() const;
  void continue_clocks() const;
  void build_memory();

  bool cgroups_, json_;
  std::string image_{image_file::kPstree};  // the one that the step in progress takes its orders from, if any
  ImageSet set_;
  ImageStore images_;
  std::unique_ptr<FileOpener> files_;
  ShmemTable shmem_;
  std::vector<TaskNode> tasks_;
  ForkPlan finish_;
  std::map<pid_t, img::crx_task_entry> extras_;
  std::map<pid_t, std::vector<uint64_t>> commit_charged_;
  VesselTree tree_;
};

void Restore::check_kind() const {
  const Manifest* manifest = set_.manifest();
  if (manifest != nullptr && manifest->head().kind() == img::crx_manifest_entry::PRE_DUMP) {
    throw Error(ErrorCode::refused, "restoring", set_.images().path() + " contains only memory: it is a pre-dump")
        .with_hint("restore the set that was made after it");
  }
}

void Restore::read_tree() {
  tasks_ = read_tasks(images_);
  add_users(images_, tasks_, files_->tasks());
  for (const TaskNode& task : tasks_) {
    if (task.pid <= 0 || task.pid > kMaxPid) {
      throw Error(ErrorCode::corrupt_image, "reading images", fmt::format("PID {} is impossible", task.pid))
          .with_image(std::string(image_file::kPstree));
    }
    img::crx_task_entry& extra = extras_[task.pid];
    const std::string name = image_file::crx_task(static_cast<uint32_t>(task.pid));
    if (auto entry = images_.try_read_one<img::crx_task_entry>(name)) extra = std::move(*entry);
    commit_charged_[task.pid] = commit_charged_of(extra);
  }
}

// For the tree, the time between the dump and the restore does not pass on its monotonic clocks.
void Restore::continue_clocks() const {
  const img::crx_task_entry& extra = extras_.at(tasks_.front().pid);
  if (!extra.has_monotonic_ns() || !extra.has_boottime_ns()) return;
  const TimeOffsets ours = time_offsets(0);
  unshare_time({extra.monotonic_ns() - (clock_ns(CLOCK_MONOTONIC) - ours.monotonic_ns),
                extra.boottime_ns() - (clock_ns(CLOCK_BOOTTIME) - ours.boottime_ns)});
}

void Restore::build_memory() {
  image_ = image_file::kFiles;
  for (const auto& entry : images_.read_all<img::file_entry>(image_file::kFiles)) files_->add(entry);
  files_->add_ghosts(images_);
  for (const auto& inode : images_.read_all<img::memfd_inode_entry>(image_file::kMemfdInode)) shmem_.memfd(inode);
  std::map<pid_t, std::vector<PageRange>> guards;
  for (const TaskNode& task : tasks_) {
    if (!task.dead) guards[task.pid] = guards_of(extras_.at(task.pid));
  }
  finish_ = RestoreMemory(set_, images_, *files_, shmem_, image_).build(tree_, tasks_, commit_charged_, guards);
}

// In a new PID namespace the lowest numbers are used both by the tree and by the processes that restore it.
void Restore::give_way() const {
  const std::set<pid_t> wanted = numbers_of(images_);
  if (!wanted.contains(::getpid())) return;
  NumberIsWanted wish{*wanted.rbegin() + 1};
  while (is_taken(wish.better)) ++wish.better;
  throw wish;
}

// The steps do not know that their images are files of a set, so they leave it to this place to say which one it was.
pid_t Restore::run(const std::function<void(pid_t)>& about_to_run) {
  try {
    return restore(about_to_run);
  } catch (Error& error) {
    if (error.code() == ErrorCode::refused) throw;  // this host is at fault, not the set
    error.add_image(image_);
    if (error.image().empty() || error.image().starts_with('/')) throw;
    throw std::move(error).with_image(set_.images().path() + "/" + error.image());
  }
}

pid_t Restore::restore(const std::function<void(pid_t)>& about_to_run) {
  check_kind();
  require_task_images(set_, images_);
  read_tree();
  give_way();
  print_signers(set_, json_);
  for (const Shortfall& found : check_restore(set_, images_, false)) {
    throw Error(ErrorCode::refused, "restoring", found.object + " " + found.reason).with_hint(found.remedy);
  }
  continue_clocks();
  build_memory();
  const Policy all;  // who runs crx-restore may do here what the images say
  TreeRestore restore(tree_, images_, *files_, shmem_, all);
  restore.name_images(image_);
  restore.build(commit_charged_, finish_, [](const char*) {});
  image_.clear();
  about_to_run(restore.root_pid());
  // From here on packets reach the sockets, which accept none before they are complete; FINs that had been received are
  // replayed to them.
  if (set_.manifest() != nullptr) release_packets(*set_.manifest());
  restore.commit();
  restore.resumed();
  if (cgroups_) restore.join_cgroups({});
  restore.stop_stopped();
  tree_.release();
  return restore.root_pid();
}

}  // namespace

pid_t run_restore(const RestoreOptions& options, const std::function<void(pid_t)>& about_to_run) {
  const int64_t began_us = monotonic_us();
  const pid_t pid = Restore(options).run(about_to_run);
  log::info("process {} runs after {} us", pid, monotonic_us() - began_us);
  return pid;
}

bool run_restore_check(const RestoreOptions& options) {
  const ImageSet set = open_set(options);
  const ImageStore images = load_images(set);
  require_task_images(set, images);
  print_signers(set, options.json);
  std::vector<Finding> findings;
  for (Shortfall& found : check_restore(set, images, true))
    findings.push_back({true, {}, std::move(found.object), std::move(found.reason), std::move(found.remedy)});
  if (options.json) {
    for (const Finding& found : findings)
      std::printf("%s\n", finding_line(found.object, found.reason, found.remedy).c_str());
  } else {
    for (const FindingLine& line : render_findings(findings)) std::printf("%s\n", line.text.c_str());
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
  } catch (const std::exception&) {  // the restore says what is wrong with the set
    return false;
  }
}

}  // namespace crx
