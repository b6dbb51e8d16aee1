// Runs all resource kinds over one vessel, step by step. The caller does its own work (last pages, memory fields,
// descriptors) between the steps.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "agent-dst/restore/kind/restorer.hpp"

namespace crx {

// Fills a context from the images of task `pid`: the cores of all threads (leader first, in the order of pstree.img)
// and crx-task-PID.img, or defaults if that is missing. Throws Error(corrupt_image) if another image is missing or
// malformed.
void load_task_images(RestoreContext& context);

// The steps are called once each, in the order of declaration. The vessel is stopped, mapped and filled when
// start_process() is called. Every step throws what the kinds throw; the vessel can then only be destroyed.
class TaskRestore {
 public:
  // The context must outlive this object.
  explicit TaskRestore(RestoreContext& context);
  ~TaskRestore();

  // Touches nothing in the vessel but its descriptors.
  void prepare();
  // Restores the process as a whole, in the leader, before other threads exist. Two steps, so that the processes of a
  // tree work at the same time.
  void start_process();
  void finish_process();
  // Creates the other threads and restores each one. Two steps, too.
  void start_threads();
  void finish_threads();
  // Removes privileges. Afterwards no descriptors can be passed to the task and no memory can be mapped in it. Two
  // steps, too.
  void start_last();
  void finish_last();
  // Sets the registers; the arena is closed. Every thread is then ready to run on, and the vessel may be released.
  void registers();
  // Restorer's calls of the same names, for all kinds.
  void commit();
  bool awaits_end() const;
  void original_ended() noexcept;

 private:
  // Names the leader's core image: most calls of a batch come from it.
  void follow_core() const;
  std::size_t room_of_thread(std::size_t i) const;
  template <typename Room, typename Plan>
  void start_group(std::size_t first, Room room, Plan plan);
  template <typename Room, typename Plan, typename After>
  void run_groups(Room room, Plan plan, After after);
  RestoreContext& context_;
  std::vector<std::unique_ptr<Restorer>> kinds_;
  std::optional<ArenaScope> scratch_;  // holds the batches below and what their calls are passed
  std::optional<RemoteBatch> leader_;  // in flight
  std::vector<RemoteBatch> batches_;   // of a group of threads, in flight
};

}  // namespace crx
