// The stop: the state and the last pages go to the destination, which builds the tree.
#pragma once

#include <unistd.h>

#include <memory>
#include <optional>
#include <vector>

#include "agent-src/collect/files/tree_locks.hpp"
#include "agent-src/collect/ipc/sysv_ipc.hpp"
#include "agent-src/freeze/frozen_tree.hpp"
#include "agent-src/migrate/migration_context.hpp"
#include "agent-src/migrate/precopy.hpp"
#include "common/base/step_clock.hpp"
#include "common/image/schema/regular.pb.h"
#include "common/kernel/process/realtime.hpp"

namespace crx {

// A stopped tree with its locks, while this process has real-time priority. Destroying it first takes the locks back
// (best effort), then resumes the tree, and then ends the real-time priority.
struct Stop {
  // Stops the tree as freeze_quiescent() does, and throws as it does. timeout_ms: the limit of each stop, in
  // milliseconds. `source` and `steps`, to which the steps of the stop are added, must outlive the object.
  Stop(pid_t root, int64_t timeout_ms, SourceTree& source, std::vector<Step>& steps);
  Stop(const Stop&) = delete;
  Stop& operator=(const Stop&) = delete;

  std::optional<Realtime> realtime;
  FrozenTree tree;
  TreeLocks locks;
  StepClock clock;  // from the first stop of a task on
};

// The destination has built the tree and waits for Go. The tree is stopped and has no arena. Only Cutover makes one.
// Move-only; destroying it resumes the tree here, in its own cgroups.
class PreparedMove {
 public:
  std::unique_ptr<SourceTree> tree;
  std::optional<SystemdUnit> unit;    // as in Cleared
  std::optional<FreezerGroup> group;  // empty once the original has been removed
  IpcLeftovers leftovers;             // objects to remove when the tree runs at the destination
  std::unique_ptr<Stop> stop;

 private:
  friend class Cutover;
  PreparedMove(Precopied copied, IpcLeftovers ipc, std::unique_ptr<Stop> standstill)
      : tree(std::move(copied.tree)),
        unit(std::move(copied.unit)),
        group(std::move(copied.group)),
        leftovers(std::move(ipc)),
        stop(std::move(standstill)) {}
};

// Performs the stop, from the request to stop until Prepared arrives. Runs the hooks pre-freeze, frozen and prepared.
// `context` must outlive it. Single-threaded: the caller becomes the tree's tracer.
class Cutover {
 public:
  Cutover(MigrationContext& context, Precopied copied);

  // Returns when the destination has built the tree, which is stopped here. Throws Error as the collectors, the hooks
  // and the link do, and Error(refused) if crx-migrate was asked to stop or --timeout has expired; the tree runs on
  // then. If a write lease was released, the session is aborted before the tree is resumed, since the lease can be
  // taken again only when no process at the destination has the file open.
  PreparedMove run() &&;

 private:
  void before_stop();
  void run_hook(HookStage stage, Stop& stop);
  void collect(FrozenTree& tree);
  void last_round(Stop& stop);
  void send_digests(const FinalMemory& memory);
  void send_written_files();
  void await_prepared();

  MigrationContext& context_;
  Precopied from_;
  PrecopyTree& tasks_;
  std::vector<img::file_lock_entry> file_locks_;
  IpcLeftovers leftovers_;
};

}  // namespace crx
