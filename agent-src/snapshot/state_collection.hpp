// The state of a stopped tree as images: what a migration and a dump have in common. They differ in where the images
// go, in how memory follows, and in what becomes of the original.
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

// Of each member of the tree, by PID: the task whose address space it lives in, which is itself, or the one that it was
// cloned from with CLONE_VM.
using SpaceOwners = std::map<pid_t, pid_t>;
SpaceOwners space_owners(const FrozenTree& tree);

// What the collection of one stopped tree works on; all of it must outlive the call.
struct StateCollection {
  FrozenTree& tree;
  FileTable& files;
  CallSites& call_sites;
  // The mappings of a task that has an address space of its own.
  std::function<MemoryMap&(pid_t)> map_of;
  // Whether this task's mapping flags are worth reading in the stop however large it is: nothing is known of it yet.
  std::function<bool(pid_t)> is_new;
};

// Reads all mappings, injects the arena, runs the collectors, and adds what each address space and its mappings have
// (mm-PID.img, the attributes in crx-task-PID.img). Afterwards all threads stand still in the stub or where they were
// stopped: call this before the last scan of memory, since threads that make calls for us have the kernel write into
// their memory (rseq). clock: gets a lap for each step; may be nullptr. Throws Error as the collectors do: refused,
// victim_gone, kernel; the caller's FrozenTree gives the tree back then.
ImageStore collect_state(const StateCollection& what, const CollectOptions& options, StepClock* clock);

}  // namespace crx
