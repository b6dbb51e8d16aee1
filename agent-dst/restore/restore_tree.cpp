#include "agent-dst/restore/restore_tree.hpp"

#include <csignal>

#include "agent-dst/restore/cgroups.hpp"
#include "common/base/error.hpp"
#include "common/base/log.hpp"
#include "common/image/inventory.pb.h"
#include "common/image/magic.hpp"
#include "common/image/mm.pb.h"
#include "common/kernel/kcmp.hpp"
#include "common/kernel/pidfd.hpp"

namespace crx {

namespace {

uint32_t shared_by(const img::task_kobj_ids_entry& a, const img::task_kobj_ids_entry& b) {
  uint32_t found = 0;
  if (a.vm_id() == b.vm_id()) found |= shares::kMemory;
  if (a.files_id() == b.files_id()) found |= shares::kDescriptors;
  if (a.fs_id() == b.fs_id()) found |= shares::kFilesystem;
  if (a.sighand_id() == b.sighand_id()) found |= shares::kSignalHandlers;
  return found;
}

}  // namespace

std::vector<VesselPlace> read_places(const ImageSource& images) {
  std::vector<VesselPlace> places;
  std::map<pid_t, img::task_kobj_ids_entry> ids;
  for (const auto& node : images.read_all<img::pstree_entry>(image_file::kPstree)) {
    const auto core = images.read_one<img::core_entry>(image_file::core(node.pid()));
    VesselPlace place;
    place.pid = static_cast<pid_t>(node.pid());
    place.ppid = static_cast<pid_t>(node.ppid());
    place.sid = static_cast<pid_t>(node.sid());
    place.pgid = static_cast<pid_t>(node.pgid());
    place.dead = core.tc().task_state() == task_state::kZombie;
    if (core.has_ids() && !place.dead) {
      const auto parent = ids.find(place.ppid);
      if (parent != ids.end()) place.shares = shared_by(core.ids(), parent->second);
      ids[place.pid] = core.ids();
    }
    places.push_back(place);
  }
  for (const auto& info : images.read_all<img::tty_info_entry>(image_file::kTtyInfo)) {
    for (VesselPlace& place : places) {
      if (info.sid() != 0 && info.has_pty() && static_cast<pid_t>(info.sid()) == place.pid) place.terminal = info.pty().index() + 1;
    }
  }
  if (places.empty()) throw Error(ErrorCode::corrupt_image, "reading images", "there is no process in pstree.img");
  return places;
}

TreeRestore::TreeRestore(VesselTree& tree, const ImageSource& images, FileOpener& files, ShmemTable& shmem)
    : tree_(tree), images_(images), files_(files), shmem_(shmem) {}

void TreeRestore::apply_layouts(const std::map<pid_t, std::vector<uint64_t>>& accounted) {
  for (const img::file_entry& entry : images_.read_all<img::file_entry>(image_file::kFiles)) files_.add(entry);
  for (Vessel* vessel : tree_.all()) {
    if ((vessel->shares() & shares::kMemory) != 0) continue;
    const auto charged = accounted.find(vessel->pid());
    const std::vector<uint64_t> none;
    const std::vector<uint64_t>& starts = charged == accounted.end() ? none : charged->second;
    vessel->apply_layout(images_.read_one<img::mm_entry>(image_file::mm(static_cast<uint32_t>(vessel->pid()))), starts, files_,
                         shmem_);
    vessel->join_mappings(starts, files_, shmem_);
  }
}

void TreeRestore::finish_places() {
  std::vector<VesselTree::Dead> dead;
  for (const VesselPlace& place : tree_.places()) {
    if (!place.dead) continue;
    const auto core = images_.read_one<img::core_entry>(image_file::core(static_cast<uint32_t>(place.pid)));
    dead.push_back({place.pid, static_cast<int>(core.tc().exit_code()), core.tc().comm()});
  }
  tree_.finish(dead);
}

void TreeRestore::build(const std::map<pid_t, std::vector<uint64_t>>& accounted,
                        const std::function<void(const char*)>& lap) {
  apply_layouts(accounted);
  lap("layout");
  finish_places();
  lap("tree");
  std::vector<RestoreContext*> contexts;
  for (Vessel* vessel : tree_.all()) {
    contexts.push_back(&contexts_.emplace_back(RestoreContext{tree_, *vessel, images_, files_, shmem_, vessel->pid(), {}, {}}));
    load_task_images(contexts_.back());
    tasks_.emplace_back(contexts_.back());
  }
  descriptors_.emplace(std::move(contexts));
  descriptors_->install();
  lap("descriptors");
  for (TaskRestore& task : tasks_) task.prepare();
  lap("open");
  for (TaskRestore& task : tasks_) task.start_process();
  for (TaskRestore& task : tasks_) task.finish_process();
  lap("process");
  for (TaskRestore& task : tasks_) task.threads();
  descriptors_->set_owners();
  lap("threads");
  for (RestoreContext& context : contexts_) {
    if ((context.vessel.shares() & shares::kMemory) != 0) continue;
    const Fd exe = files_.open(context.vessel.layout().exe_file_id());
    context.vessel.set_mm_fields(exe.get());
    context.vessel.apply_vma_attributes(context.extra);
  }
  lap("memory fields");
  shmem_.seal_all();
  for (TaskRestore& task : tasks_) task.last();
  for (RestoreContext& context : contexts_) context.vessel.start_closing();
  for (RestoreContext& context : contexts_) context.vessel.stop_calls();
  for (TaskRestore& task : tasks_) task.registers();
  lap("registers");
}

void TreeRestore::commit() {
  for (TaskRestore& task : tasks_) task.commit();
  if (descriptors_) descriptors_->commit();
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
    log::warn("making cgroups again: {}", error.what());
  }
}

void TreeRestore::stop_stopped() {
  for (const RestoreContext& context : contexts_) {
    const img::task_core_entry& tc = context.cores.front().tc();
    if (tc.task_state() != task_state::kStopped) continue;
    const bool known = tc.stop_signo() == SIGSTOP || tc.stop_signo() == SIGTSTP || tc.stop_signo() == SIGTTIN || tc.stop_signo() == SIGTTOU;
    send_signal(context.vessel.pidfd(), known ? static_cast<int>(tc.stop_signo()) : SIGSTOP);
  }
}

}  // namespace crx
