// A whole tree: vessels that are mapped and filled become the tasks of an image set.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agent-dst/restore/descriptors.hpp"
#include "agent-dst/restore/restore_task.hpp"

namespace crx {

// The places of all tasks of a set (pstree.img), as VesselTree::follow() wants them. Error(corrupt_image).
std::vector<VesselPlace> read_places(const ImageSource& images);

// Owns what is known of each task while it is built. Every step throws what the kinds throw, and leaves vessels that
// can only be destroyed then. The arguments must outlive it.
class TreeRestore {
 public:
  TreeRestore(VesselTree& tree, const ImageSource& images, FileOpener& files, ShmemTable& shmem);

  // Before build(): the original lives in this kernel until the move is decided.
  void expect_original() { original_is_here_ = true; }
  // Everything but the pages: last layouts, zombies and groups, descriptors, threads, state, registers. Afterwards the
  // vessels stand ready to run on. accounted: see Vessel::apply_layout, by PID. lap: called after each step with its
  // name.
  void build(const std::map<pid_t, std::vector<uint64_t>>& commit_charged, const std::function<void(const char*)>& lap);
  // Step 4 of the cutover, before the vessels' group is frozen.
  void commit();
  // Restorer's, for all tasks.
  bool awaits_end() const;
  void original_ended() noexcept;
  // The move is decided: what others can see (FdRestorer::resumed).
  void resumed() noexcept;
  // Right before the vessels are let go: those that job control had stopped stop again.
  void stop_stopped();
  // The cgroups of the tasks' old host, best effort; group: of the tree (join_cgroups). Tasks may run.
  void join_cgroups(const std::string& group) const noexcept;
  pid_t root_pid() const { return contexts_.front().pid; }

 private:
  Fd open_executable(uint32_t id);
  void apply_layouts(const std::map<pid_t, std::vector<uint64_t>>& commit_charged);
  void finish_places();

  VesselTree& tree_;
  const ImageSource& images_;
  FileOpener& files_;
  ShmemTable& shmem_;
  bool original_is_here_ = false;
  std::deque<RestoreContext> contexts_;  // the root's first
  std::deque<TaskRestore> tasks_;
  std::optional<TreeDescriptors> descriptors_;
};

}  // namespace crx
