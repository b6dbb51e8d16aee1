// The state of a stopped tree as images, for migrations and dumps. They differ in where the images go, in how memory
// follows, and in what happens to the original.
#pragma once

#include <sys/types.h>

#include <functional>
#include <map>

#include "agent-src/collect/kind/collector.hpp"
#include "agent-src/collect/kind/file_table.hpp"
#include "agent-src/collect/memory/memory_map.hpp"
#include "agent-src/freeze/call_site.hpp"
#include "agent-src/freeze/frozen_tree.hpp"
#include "common/base/step_clock.hpp"
#include "common/image/image_store.hpp"

namespace crx {

// Maps the PID of each member of the tree to the task that owns its address space: itself, or the task from which it
// was cloned with CLONE_VM.
using SpaceOwners = std::map<pid_t, pid_t>;
SpaceOwners space_owners(const FrozenTree& tree);

// The objects that the collection of one stopped tree uses; all of them must outlive the call.
struct StateCollection {
  FrozenTree& tree;
  FileTable& files;
  CallSites& call_sites;
  // Returns the mappings of a task that has an address space of its own.
  std::function<MemoryMap&(pid_t)> map_of;
  // Returns whether the task's mapping flags must be read during the stop however large the task is, since none have
  // been read before.
  std::function<bool(pid_t)> is_new;
};

// Reads all mappings, injects the arena, runs the collectors, and adds the data of each address space and its mappings
// (mm-PID.img, the attributes in crx-task-PID.img). On return, all threads are stopped in the stub or where they were
// stopped. It must be called before the last scan of memory, since the kernel writes into the memory of a thread that
// makes calls for us (rseq). clock: gets a lap for each step; may be nullptr. Throws Error as the collectors do:
// `refused`, `victim_gone`, `kernel`; the tree stays stopped until the caller's FrozenTree is destroyed, which resumes
// it.
ImageStore collect_state(const StateCollection& what, const CollectOptions& options, StepClock* clock);

}  // namespace crx
