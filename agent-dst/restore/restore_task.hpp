// All resource kinds over one vessel, step by step; the session puts its own work (last pages, memory fields,
// descriptors' peers) in between.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "agent-dst/restore/kind/restorer.hpp"

namespace crx {

// Fills a context from the images of task `pid`: cores of all threads (leader first, the order of pstree.img) and
// crx-task-PID.img, or defaults in its place. Error(corrupt_image) where something is missing.
void load_task_images(RestoreContext& context);

// Steps are called once each, in this order. The vessel is stopped, mapped and filled when start_process() is called;
// every step throws what the kinds throw, and leaves a vessel that can only be destroyed then.
class TaskRestore {
 public:
  // The context must outlive this object.
  explicit TaskRestore(RestoreContext& context);
  ~TaskRestore();

  // Nothing of the vessel is touched.
  void prepare();
  // The process as a whole: leader only, before other threads exist. In two steps, so that the processes of a tree work
  // side by side.
  void start_process();
  void finish_process();
  // Creates the other threads and gives each its own. In two steps, too.
  void start_threads();
  void finish_threads();
  // Takes privileges away. No descriptors can be handed over and no memory be mapped through the task afterwards. In
  // two steps.
  void start_last();
  void finish_last();
  // The arena is closed. Every thread then stands ready to run on; the vessel may be released.
  void registers();
  // Step 4 of the cutover.
  void commit();
  bool awaits_end() const;
  void original_ended() noexcept;

 private:
  std::size_t room_of_thread(std::size_t i) const;
  template <typename Room, typename Plan>
  void start_group(std::size_t first, Room room, Plan plan);
  template <typename Room, typename Plan, typename After>
  void run_groups(Room room, Plan plan, After after);
  RestoreContext& context_;
  std::vector<std::unique_ptr<Restorer>> kinds_;
  std::optional<RemoteBatch> leader_;  // under way
  std::vector<RemoteBatch> batches_;   // of a group of threads, under way
};

}  // namespace crx
