// All resource kinds over one vessel, step by step; the session puts its own work (last pages, memory fields,
// descriptors' peers) in between.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "agent-dst/restore/restorer.hpp"

namespace crx {

// Fills a context from the images of task `pid`: cores of all threads (leader first, the order of pstree.img) and
// crx-task-PID.img, or defaults in its place. Error(corrupt_image) where something is missing.
void load_task_images(RestoreContext& context);

// Steps are called once each, in this order. The vessel is stopped, mapped and filled when start_process() is called; every
// step throws what the kinds throw, and leaves a vessel that can only be destroyed then.
class TaskRestore {
 public:
  // The context must outlive this object.
  explicit TaskRestore(RestoreContext& context);
  ~TaskRestore();

  // Nothing of the vessel is touched.
  void prepare();
  // The process as a whole: leader only, before other threads exist. In two steps, so that the processes of a tree work side by
  // side.
  void start_process();
  void finish_process();
  // Creates the other threads and gives each its own.
  void threads();
  // Takes privileges away. No descriptors can be handed over and no memory be mapped through the task afterwards.
  void last();
  // Closes the arena; every thread then stands ready to run on. The vessel may be released.
  void registers();
  // Step 4 of the cutover.
  void commit();

 private:
  template <typename Room, typename Plan, typename After>
  void run_groups(Room room, Plan plan, After after);
  RestoreContext& context_;
  std::vector<std::unique_ptr<Restorer>> kinds_;
  std::optional<RemoteBatch> leader_;  // under way
};

}  // namespace crx
