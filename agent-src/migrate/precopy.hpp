// Pre-copy: memory goes to the destination while the tree runs.
#pragma once

#include <memory>
#include <optional>

#include "agent-src/migrate/migration_context.hpp"
#include "agent-src/migrate/preflight.hpp"
#include "agent-src/migrate/source_tree.hpp"
#include "agent-src/migrate/tree_sender.hpp"
#include "common/kernel/process/freezer_group.hpp"

namespace crx {

// The destination has vessels with the tree's memory as of the last round, or none with --max-rounds 0. The tree runs
// in a cgroup of its own, and its writes are tracked unless there are no rounds. Only Precopy makes one. Move-only;
// destroying it moves the tree back into its own cgroups and ends the tracking.
class Precopied {
 public:
  std::unique_ptr<SourceTree> tree;
  std::optional<SystemdUnit> unit;  // as in Cleared
  bool has_addresses = false;       // as in Cleared
  TreeSender sender;
  FreezerGroup group;

 private:
  friend class Precopy;
  Precopied(Cleared cleared, TreeSender source_sender, FreezerGroup source_group)
      : tree(std::move(cleared.tree)),
        unit(std::move(cleared.unit)),
        has_addresses(cleared.has_addresses),
        sender(std::move(source_sender)),
        group(std::move(source_group)) {}
};

// Moves the tree into a cgroup of its own, starts tracking (for which each process is stopped once, for less than a
// millisecond), and sends rounds until Convergence expects the stop to be short. `context` must outlive it.
// Single-threaded, except for the thread of a Throttle.
class Precopy {
 public:
  Precopy(MigrationContext& context, Cleared cleared);

  // Returns when the last round has arrived; the tree runs. Throws Error: `refused` if the tree writes too fast
  // (--on-no-converge fail) or crx-migrate was asked to stop; `peer`; `victim_gone`; and the errors of trackers and
  // cgroups. The tree runs on then.
  Precopied run() &&;

 private:
  TreeSnapshot gather();
  void start_tracking(const TreeSnapshot& tree);
  void send_rounds();
  void send_round(uint32_t round);

  MigrationContext& context_;
  Cleared from_;
  PrecopyTree& tasks_;
  TreeSender sender_;
  std::optional<FreezerGroup> group_;
};

}  // namespace crx
