#include "agent-dst/restore/restore_tree.hpp"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <csignal>

#include "agent-dst/restore/process/cgroups.hpp"
#include "agent-dst/restore/process/task_credentials.hpp"
#include "common/base/error.hpp"
#include "common/base/log.hpp"
#include "common/image/claimed_memory.hpp"
#include "common/image/magic.hpp"
#include "common/image/schema/inventory.pb.h"
#include "common/image/schema/mm.pb.h"
#include "common/kernel/process/pidfd.hpp"
#include "common/plan/forked_tree.hpp"
#include "common/plan/sharing.hpp"

namespace crx {
namespace {

// In an orphaned process group the kernel drops all stop signals but SIGSTOP (kernel/signal.c:
// is_current_pgrp_orphaned).
bool is_in_orphaned_group(pid_t pid, const std::vector<TaskNode>& places) {
  const auto of = [&](pid_t wanted) {
    return std::find_if(places.begin(), places.end(), [wanted](const TaskNode& p) { return p.pid == wanted; });
  };
  const auto place = of(pid);
  return place == places.end() || std::none_of(places.begin(), places.end(), [&](const TaskNode& member) {
           const auto parent = of(member.ppid);
           return !member.dead && member.pgid == place->pgid && parent != places.end() && parent->sid == place->sid &&
                  parent->pgid != place->pgid;
         });
}

bool acts_by_default(int signal, const std::vector<img::core_entry>& cores) {
  const auto& actions = cores.front().tc().sigactions();
  const int index = signal - 1 - (signal > SIGKILL ? 1 : 0) - (signal > SIGSTOP ? 1 : 0);
  if (index < actions.size() && actions[index].sigaction() != 0) return false;
  const uint64_t bit = uint64_t{1} << (signal - 1);
  return std::any_of(cores.begin(), cores.end(),
                     [bit](const img::core_entry& core) { return (core.thread_core().blk_sigset() & bit) == 0; });
}

// Returns the signal that stops the task again. Its parent sees the signal, so it is the original one if that would
// stop the task here; otherwise SIGSTOP.
int stop_signal_for(const RestoreContext& context) {
  const auto signal = static_cast<int>(context.cores.front().tc().stop_signo());
  if (signal != SIGTSTP && signal != SIGTTIN && signal != SIGTTOU) return SIGSTOP;
  return acts_by_default(signal, context.cores) && !is_in_orphaned_group(context.pid, context.tree.tasks()) ? signal
                                                                                                            : SIGSTOP;
}

}  // namespace

std::vector<TaskNode> read_tasks(const ImageSource& images) {
  std::vector<TaskNode> tasks;
  uint32_t own = UINT32_MAX;  // numbers for ids that the set does not contain
  for (const auto& node : images.read_all<img::pstree_entry>(image_file::kPstree)) {
    const auto core = images.read_one<img::core_entry>(image_file::core(node.pid()));
    TaskNode& task = tasks.emplace_back();
    task.pid = static_cast<pid_t>(node.pid());
    task.ppid = static_cast<pid_t>(node.ppid());
    task.sid = static_cast<pid_t>(node.sid());
    task.pgid = static_cast<pid_t>(node.pgid());
    task.dead = core.tc().task_state() == task_state::kZombie;
    task.exit_code = static_cast<int>(core.tc().exit_code());
    task.comm = core.tc().comm();
    if (const auto extra = images.try_read_one<img::crx_task_entry>(image_file::crx_task(node.pid()));
        extra && extra->has_exit_signal() && extra->exit_signal() < NSIG) {
      task.exit_signal = static_cast<int>(extra->exit_signal());
    }
    const img::task_kobj_ids_entry& ids = core.ids();
    task.groups = core.has_ids() ? std::array<uint32_t, 4>{ids.vm_id(), ids.files_id(), ids.fs_id(), ids.sighand_id()}
                                 : std::array<uint32_t, 4>{own, own, own, own};
    own -= core.has_ids() ? 0 : 1;
  }
  if (const std::string why = why_no_tree(tasks); !why.empty())
    throw Error(ErrorCode::corrupt_image, "reading images", "it does not describe a tree: " + why)
        .with_image(std::string(image_file::kPstree));
  for (const SharingConflict& conflict : plan_sharing(tasks)) {
    throw Error(ErrorCode::unsupported, "reading images",
                fmt::format("process {} shares things with process {}, and not by way of a parent or sibling",
                            conflict.pid, conflict.other))
        .with_image(std::string(image_file::kPstree));
  }
  for (const auto& info : images.read_all<img::tty_info_entry>(image_file::kTtyInfo)) {
    for (TaskNode& task : tasks) {
      if (info.sid() != 0 && info.has_pty() && static_cast<pid_t>(info.sid()) == task.pid)
        task.terminal = info.pty().index() + 1;
    }
  }
  return tasks;
}

void add_users(const ImageSource& images, const std::vector<TaskNode>& tasks, TaskFiles& files) {
  for (const TaskNode& task : tasks) {
    const auto core = images.read_one<img::core_entry>(image_file::core(static_cast<uint32_t>(task.pid)));
    if (!task.dead && core.thread_core().has_creds()) files.set(task.pid, fs_ids_of(task_credentials(core, task.pid)));
  }
}

TreeRestore::TreeRestore(VesselTree& tree, const ImageSource& images, FileOpener& files, ShmemTable& shmem,
                         const Policy& policy)
    : tree_(tree), images_(images), files_(files), shmem_(shmem), policy_(policy) {}

void TreeRestore::apply_layouts(const std::map<pid_t, std::vector<uint64_t>>& commit_charged) {
  follow_image(image_file::kFiles);
  for (const img::file_entry& entry : images_.read_all<img::file_entry>(image_file::kFiles)) files_.add(entry);
  struct Step {
    Vessel* vessel;
    img::mm_entry mm;
    const std::vector<uint64_t>& charged;
  };
  static const std::vector<uint64_t> kNone;
  std::vector<Step> steps;
  ClaimedMemory claimed;
  for (Vessel* vessel : tree_.all()) {
    const std::string name = image_file::mm(static_cast<uint32_t>(vessel->pid()));
    follow_image(name);
    if ((vessel->process().clone_flags() & sharing::kMemory) != 0) continue;
    const auto charged = commit_charged.find(vessel->pid());
    steps.push_back(
        {vessel, images_.read_one<img::mm_entry>(name), charged == commit_charged.end() ? kNone : charged->second});
    claimed.set(vessel->pid(), steps.back().mm, steps.back().charged);
  }
  policy_.check_memory(claimed.bytes());
  for (const Step& step : steps) {
    follow_image(image_file::mm(static_cast<uint32_t>(step.vessel->pid())));
    step.vessel->memory().apply_layout(step.mm, step.charged, files_, shmem_);
    step.vessel->memory().join_mappings(step.charged, files_, shmem_);
  }
}

// Checks what the tasks are before anything is made or opened for them, and says whose files theirs are.
void TreeRestore::admit_tasks() {
  uint64_t tasks = tree_.tasks().size() - contexts_.size();  // zombies
  for (const RestoreContext& context : contexts_) {
    tasks += context.cores.size();
    for (const img::core_entry& core : context.cores) policy_.check(task_credentials(core, context.pid), context.pid);
    files_.tasks().set(context.pid, fs_ids_of(task_credentials(context.cores.front(), context.pid)));
    files_.tasks().set_made(context.pid);
  }
  policy_.check_tasks(tasks);
}

void TreeRestore::build(const std::map<pid_t, std::vector<uint64_t>>& commit_charged, const ForkPlan& finish,
                        const std::function<void(const char*)>& lap) {
  apply_layouts(commit_charged);
  lap("layout");
  follow_image(image_file::kPstree);
  tree_.finish(finish);
  lap("tree");
  std::vector<RestoreContext*> contexts;
  for (Vessel* vessel : tree_.all()) {
    contexts.push_back(&contexts_.emplace_back(RestoreContext{
        tree_, *vessel, images_, files_, shmem_, vessel->pid(), {}, {}, original_is_here_, image_, policy_}));
    load_task_images(contexts_.back());
    tasks_.emplace_back(contexts_.back());
  }
  admit_tasks();
  descriptors_.emplace(std::move(contexts));
  descriptors_->install();
  lap("descriptors");
  for (TaskRestore& task : tasks_) task.prepare();
  lap("open");
  for (TaskRestore& task : tasks_) task.start_process();
  for (TaskRestore& task : tasks_) task.finish_process();
  lap("process");
  for (TaskRestore& task : tasks_) task.start_threads();
  for (TaskRestore& task : tasks_) task.finish_threads();
  descriptors_->set_owners();
  lap("threads");
  for (RestoreContext& context : contexts_) {
    if ((context.vessel.process().clone_flags() & sharing::kMemory) != 0) continue;
    context.follow_image(image_file::mm(static_cast<uint32_t>(context.pid)));
    const Fd exe = open_executable(context.vessel.memory().layout().exe_file_id(), context.pid);
    context.vessel.memory().set_mm_fields(exe.get());
    context.vessel.memory().apply_vma_attributes(context.extra);
  }
  lap("memory fields");
  shmem_.seal_all();
  for (TaskRestore& task : tasks_) task.start_last();
  for (TaskRestore& task : tasks_) task.finish_last();
  lap("privileges");
  close_arenas(tree_.all());
  for (TaskRestore& task : tasks_) task.registers();
  lap("registers");
}

Fd TreeRestore::open_executable(uint32_t id, pid_t task) {
  const img::file_entry& entry = files_.entry(id);
  if (!entry.has_memfd()) return files_.open(id, task);
  return open_checked(fmt::format("/proc/self/fd/{}", shmem_.descriptor(entry.memfd().inode_id())), O_RDONLY);
}

void TreeRestore::commit() {
  for (TaskRestore& task : tasks_) task.commit();
  if (descriptors_) descriptors_->commit();
}

bool TreeRestore::awaits_end() const {
  return (descriptors_ && descriptors_->awaits_end()) ||
         std::any_of(tasks_.begin(), tasks_.end(), [](const TaskRestore& task) { return task.awaits_end(); });
}

void TreeRestore::original_ended() noexcept {
  for (TaskRestore& task : tasks_) task.original_ended();
  if (descriptors_) descriptors_->original_ended();
}

void TreeRestore::resumed() noexcept {
  if (descriptors_) descriptors_->resumed();
}

void TreeRestore::join_cgroups(const std::string& group) const noexcept {
  try {
    std::vector<CgroupWish> wishes;
    for (const RestoreContext& context : contexts_) {
      wishes.push_back(read_cgroup_wish(context.pid, context.cores.front(), context.extra, images_));
    }
    crx::join_cgroups(wishes, group);
  } catch (const std::exception& error) {
    log::warn("cannot put the tasks into their control groups: {}", error.what());
  }
}

void TreeRestore::stop_stopped() {
  for (const RestoreContext& context : contexts_) {
    if (context.cores.front().tc().task_state() != task_state::kStopped) continue;
    send_signal(context.vessel.pidfd(), stop_signal_for(context));
  }
}

}  // namespace crx
