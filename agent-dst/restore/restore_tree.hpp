// Restores a whole tree: vessels that are mapped and filled become the tasks of an image set.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent-dst/policy/policy.hpp"
#include "agent-dst/restore/descriptors.hpp"
#include "agent-dst/restore/restore_task.hpp"

namespace crx {

// Reads the processes of a set (pstree.img) as VesselTree::follow() takes them, with how each is forked
// (plan_sharing()). Throws Error(corrupt_image), and Error(unsupported) where no order of forks gives them what they
// share.
std::vector<TaskNode> read_tasks(const ImageSource& images);

// Tells `files` the credentials that the tasks of a set have, those of their leaders.
void add_users(const ImageSource& images, const std::vector<TaskNode>& tasks, TaskFiles& files);

// Owns the context of each task while the tree is built. Every step throws what the kinds throw; the vessels can then
// only be destroyed. The arguments of the constructor must outlive this object.
class TreeRestore {
 public:
  TreeRestore(VesselTree& tree, const ImageSource& images, FileOpener& files, ShmemTable& shmem, const Policy& policy);

  // To be called before build() if the original lives in this kernel until the move is decided.
  void expect_original() { original_is_here_ = true; }
  // To be called before build() if the images are files: during build(), `image` holds the name of the image that the
  // step in progress reads, for errors that name none. It must outlive this object.
  void name_images(std::string& image) { image_ = &image; }
  // Restores everything but the pages: last layouts, zombies and groups, descriptors, threads, state, registers.
  // Afterwards the vessels are ready to run on. commit_charged: see VesselMemory::apply_layout, keyed by PID. finish:
  // see VesselTree::finish(). lap: called after each step with its name. Throws Error(refused) where the images break a
  // rule of the policy, before the vessels are given anything of that kind.
  void build(const std::map<pid_t, std::vector<uint64_t>>& commit_charged, const ForkPlan& finish,
             const std::function<void(const char*)>& lap);
  // The commit step of all kinds, before the vessels' group is frozen (in a migration between Go and RESUMING).
  void commit();
  // Restorer's calls of the same names, for all tasks.
  bool awaits_end() const;
  void original_ended() noexcept;
  // To be called when the move is decided: makes what others can see (FdRestorer::resumed).
  void resumed() noexcept;
  // To be called right before the vessels are released: stops those again that job control had stopped.
  void stop_stopped();
  // Moves the tasks into the control groups that they had on their old host, as far as possible; group: the one made
  // for the tree (see join_cgroups in cgroups.hpp). The tasks may run. Failures are logged.
  void join_cgroups(const std::string& group) const noexcept;
  pid_t root_pid() const { return contexts_.front().pid; }

 private:
  void follow_image(std::string_view name) const {
    if (image_ != nullptr) *image_ = name;
  }
  void admit_tasks();
  Fd open_executable(uint32_t id, pid_t task);
  void apply_layouts(const std::map<pid_t, std::vector<uint64_t>>& commit_charged);

  VesselTree& tree_;
  const ImageSource& images_;
  FileOpener& files_;
  ShmemTable& shmem_;
  const Policy& policy_;
  bool original_is_here_ = false;
  std::string* image_ = nullptr;
  std::deque<RestoreContext> contexts_;  // the root's first
  std::deque<TaskRestore> tasks_;
  std::optional<TreeDescriptors> descriptors_;
};

}  // namespace crx
