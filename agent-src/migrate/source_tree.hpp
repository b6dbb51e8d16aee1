// The tree at the source: the objects that accompany it from preflight to the end of the migration.
#pragma once

#include "agent-src/collect/kind/collector.hpp"
#include "agent-src/collect/kind/file_table.hpp"
#include "agent-src/collect/kind/link_remaps.hpp"
#include "agent-src/collect/process/cgroups.hpp"
#include "agent-src/migrate/migration_context.hpp"
#include "agent-src/migrate/precopy_tree.hpp"
#include "common/kernel/introspect/kernel_view.hpp"

namespace crx {

// The members refer to one another, so the object must not move: phases pass on a std::unique_ptr. Destroying it ends
// the tracking of writes and removes the names that --link-remap made, unless they were handed over. Whether the tree
// runs or is stopped depends on the phase. Single-threaded.
struct SourceTree {
  explicit SourceTree(const MigrateOptions& options, const std::string& session);
  SourceTree(const SourceTree&) = delete;
  SourceTree& operator=(const SourceTree&) = delete;
  ~SourceTree();

  LinkRemaps links;
  FileTable files;
  CgroupHomes homes;  // the cgroups of its tasks before the session's cgroup
  KernelView kernel;  // reads kernel structures, unless the user disabled that
  PrecopyTree tasks;
};

// Returns the kind of tracker that the options ask for; `automatic` if the kernel is to decide (choose_tracker).
TrackerKind tracker_kind(const MigrateOptions& options);

// Returns what the collectors may do and use according to the options. The result refers to both arguments, which must
// outlive it.
CollectOptions collect_options(MigrationContext& context, SourceTree& tree);

}  // namespace crx
