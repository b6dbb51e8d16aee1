// The stop: state and last pages go to the destination, which builds the tree.
#pragma once

#include <unistd.h>

#include <memory>
#include <optional>
#include <vector>

#include "agent-src/collect/files/file_locks.hpp"
#include "agent-src/collect/ipc/sysv_ipc.hpp"
#include "agent-src/freeze/frozen_tree.hpp"
#include "agent-src/migrate/migration_context.hpp"
#include "agent-src/migrate/precopy.hpp"
#include "common/image/schema/regular.pb.h"
#include "common/kernel/process/realtime.hpp"

namespace crx {

// The tree at a standstill, with its locks, and this process at real-time priority. Destroying it takes the locks back
// (best effort), lets the tree run on, and then ends the priority.
struct Stop {
  // Stops the tree: as freeze_quiescent().
  Stop(pid_t root, int64_t timeout_ms, SourceTree& source);
  Stop(const Stop&) = delete;
  Stop& operator=(const Stop&) = delete;

  std::optional<Realtime> realtime;
  FrozenTree tree;
  TreeLocks locks;
};

// The destination has built everything and waits for Go. The tree is stopped and has no arena. Only Cutover makes one.
// Move-only; destroying it lets the tree run on here, in its own cgroups.
class Prepared {
 public:
  std::unique_ptr<SourceTree> tree;
  std::optional<SystemdUnit> unit;    // as in Cleared
  std::optional<FreezerGroup> group;  // until the original has been removed
  IpcLeftovers leftovers;             // objects to remove when the tree runs at the destination
  std::unique_ptr<Stop> stop;

 private:
  friend class Cutover;
  Prepared(Precopied copied, IpcLeftovers ipc, std::unique_ptr<Stop> standstill)
      : tree(std::move(copied.tree)),
        unit(std::move(copied.unit)),
        group(std::move(copied.group)),
        leftovers(std::move(ipc)),
        stop(std::move(standstill)) {}
};

// From the request to stop until Prepared has come. Runs the hooks pre-freeze, frozen and prepared. `context` must
// outlive it. Single-threaded: the caller becomes the tree's tracer.
class Cutover {
 public:
  Cutover(MigrationContext& context, Precopied copied);

  // Throws Error as the collectors, the hooks and the link do, and Error(refused) when crx-migrate was told to stop or
  // --timeout is over. The tree runs on then. Where a write lease was lent the session is aborted before that, since
  // the lease can be had again only when nobody has the file open at the destination.
  Prepared run() &&;

 private:
  void before_stop();
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
