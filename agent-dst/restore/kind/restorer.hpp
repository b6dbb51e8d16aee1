// The interface that every resource kind at the destination implements: it turns image messages into the state of a
// vessel.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "agent-dst/files/file_opener.hpp"
#include "agent-dst/policy/policy.hpp"
#include "agent-dst/vessel/vessel_tree.hpp"
#include "common/image/image_io.hpp"
#include "common/image/magic.hpp"
#include "common/image/schema/core.pb.h"
#include "common/image/schema/crx.pb.h"
#include "common/remote/batch.hpp"

namespace crx {

// The context that all restorers of one task share. All images have been received; the vessel is stopped, mapped and
// filled.
struct RestoreContext {
  VesselTree& tree;
  Vessel& vessel;
  const ImageSource& images;
  FileOpener& files;
  ShmemTable& shmem;
  pid_t pid = 0;                       // the PID of the task in the images, and of the vessel
  std::vector<img::core_entry> cores;  // one per thread, leader first
  img::crx_task_entry extra;           // `threads` in the same order as cores; default values if the set has none
  bool original_is_here = false;       // the original is in this kernel, with its files open, until it is killed
  // For errors that name no image: receives the name of the image that the step in progress reads. nullptr if the
  // images are no files (in a migration).
  std::string* image = nullptr;
  const Policy& policy;  // the rules of this host, which every kind keeps where it sets something

  // To be called before each step, and when a kind goes on to another image.
  void follow_image(std::string_view name) const {
    if (image != nullptr) *image = name;
  }
};

// One resource kind. The calls come in this order, each for all kinds in the order of the registry:
// - prepare: outside the task; reads and checks images, opens and fills objects in our own process. Descriptors are put
//   into the task here, in batches of their own (the arena is free).
// - plan_process: adds remote calls of the leader, before other threads exist.
// - after_process: takes their results, which are already checked.
// - plan_thread: adds remote calls of one thread, made in all threads together.
// - after_thread: takes their results.
// - plan_last: adds the last calls of one thread, those that remove privileges (securebits, capabilities, uids,
//   seccomp, dumpable); made in all threads together.
// - finish: after the last batch of every thread; restores what belongs to the process as a whole and what those calls
//   reset (dumpable). Makes its own batches in the leader, or sets things from outside.
// - commit: in a migration between Go and RESUMING; takes what only one host can hold (file locks, final names). May
//   fail the migration.
// - original_ended: if awaits_end() returns true after commit; restores what the original was in the way of, which ends
//   about now. The move is decided and the task frozen, so no remote calls are possible and failures are logged.
// Every result is checked with RemoteBatch::check_all(); a call that may fail is added with RemoteBatch::add_optional.
class Restorer {
 public:
  virtual ~Restorer() = default;
  // The name of the kind, for logs.
  virtual const char* name() const = 0;
  // Returns the name of the image that this kind reads, for errors that name none; most kinds read the leader's core
  // image.
  virtual std::string image(const RestoreContext& context) const {
    return image_file::core(static_cast<uint32_t>(context.pid));
  }
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

// Makes all kinds, in order (registry.cpp).
std::vector<std::unique_ptr<Restorer>> make_restorers();

}  // namespace crx
