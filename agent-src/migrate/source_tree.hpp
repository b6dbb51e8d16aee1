// The tree at the source: what stays with it from preflight to the end of the migration.
#pragma once

#include "agent-src/collect/kind/collector.hpp"
#include "agent-src/collect/kind/file_table.hpp"
#include "agent-src/collect/kind/link_remaps.hpp"
#include "agent-src/collect/process/cgroups.hpp"
#include "agent-src/migrate/migration_context.hpp"
#include "agent-src/migrate/precopy_tree.hpp"
#include "common/kernel/introspect/kernel_view.hpp"

namespace crx {

// Its parts refer to one another, so it stays at one address: phases hand on a std::unique_ptr. Destroying it ends the
// tracking of writes and removes the names that --link-remap made, unless they were handed over. The tree runs or is
// stopped, whatever the phase says. Single-threaded.
struct SourceTree {
  explicit SourceTree(const MigrateOptions& options, const std::string& session);
  SourceTree(const SourceTree&) = delete;
  SourceTree& operator=(const SourceTree&) = delete;
  ~SourceTree();

  LinkRemaps links;
  FileTable files;
  CgroupHomes homes;  // where its tasks were before the session's cgroup
  KernelView kernel;  // reads kernel structures, unless the user switched that off
  PrecopyTree tasks;
};

// The kind of tracker that the user's options ask for; automatic where the kernel is to decide (choose_tracker).
TrackerKind tracker_kind(const MigrateOptions& options);

// What the collectors may do and use, as the user's options say. The result refers to both arguments.
CollectOptions collect_options(MigrationContext& context, SourceTree& tree);

}  // namespace crx
