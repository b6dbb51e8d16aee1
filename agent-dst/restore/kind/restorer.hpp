// What every resource kind at the destination implements: image messages -> vessel.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "agent-dst/files/file_opener.hpp"
#include "agent-dst/vessel/vessel_tree.hpp"
#include "common/image/image_io.hpp"
#include "common/image/schema/core.pb.h"
#include "common/image/schema/crx.pb.h"
#include "common/remote/batch.hpp"

namespace crx {

// Shared by all restorers of one task. Images have been received whole; the vessel is stopped, mapped and filled.
struct RestoreContext {
  VesselTree& tree;
  Vessel& vessel;
  const ImageSource& images;
  FileOpener& files;
  ShmemTable& shmem;
  pid_t pid = 0;                       // of the task in the images, and of the vessel
  std::vector<img::core_entry> cores;  // one per thread, leader first
  img::crx_task_entry extra;           // `threads` in the same order as cores; default values where the set has none
  bool original_is_here = false;       // in this kernel, with its files open, until it is ended
};

// One resource kind. Calls come in this order, each for all kinds in registry order:
//   prepare         outside the task: read images, check them, open and fill objects in our own process; descriptors
//   are
//                   put into the task here, in batches of their own (the arena is free)
//   plan_process    remote calls of the leader before other threads exist (several may be added)
//   after_process   their results, already checked
//   plan_thread     remote calls of every thread, made in all threads together
//   after_thread
//   plan_last       what takes privileges away (securebits, capabilities, uids, seccomp, dumpable): the last calls of
//                   every thread, in the order seccomp-independent first; made in all threads together
//   finish          after every thread's last batch: what belongs to the process as a whole and what those calls undo
//                   (dumpable); makes its own batches in the leader, sets things from outside
//   commit          step 4 of the cutover: what only one may hold (file locks, final names). May fail the migration.
//   original_ended  where awaits_end() says so after commit: what the original was in the way of. It ends about now.
//   The move is
//                   decided and the task frozen: no calls, and what fails is logged.
// Every result is checked with RemoteBatch::check_all(); a call that may fail is added with RemoteBatch::add_optional.
class Restorer {
 public:
  virtual ~Restorer() = default;
  virtual const char* name() const = 0;
  virtual void prepare(RestoreContext&) {}
  virtual void plan_process(RestoreContext&, RemoteBatch& /*leader*/) {}
  virtual void after_process(RestoreContext&, const RemoteBatch&) {}
  virtual void plan_thread(RestoreContext&, std::size_t /*thread*/, RemoteBatch&) {}
  virtual void after_thread(RestoreContext&, std::size_t /*thread*/, const RemoteBatch&) {}
  virtual void plan_last(RestoreContext&, std::size_t /*thread*/, RemoteBatch&) {}
  virtual void finish(RestoreContext&) {}
  virtual void commit(RestoreContext&) {}
  virtual bool awaits_end() const { return false; }
  virtual void original_ended(RestoreContext&) noexcept {}
};

// All kinds, in order (registry.cpp).
std::vector<std::unique_ptr<Restorer>> make_restorers();

}  // namespace crx
