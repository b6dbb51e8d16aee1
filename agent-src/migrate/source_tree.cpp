#include "agent-src/migrate/source_tree.hpp"

namespace crx {

// Without rounds no memory is tracked: all of it is sent during the stop.
TrackerKind tracker_kind(const MigrateOptions& options) {
  if (options.max_rounds == 0) return TrackerKind::hash;
  switch (options.tracker) {
    case TrackerChoice::automatic:
      return TrackerKind::automatic;
    case TrackerChoice::wp_async:
      return TrackerKind::wp_async;
    case TrackerChoice::soft_dirty:
      return TrackerKind::soft_dirty;
    case TrackerChoice::hash:
      return TrackerKind::hash;
  }
  return TrackerKind::automatic;
}

SourceTree::SourceTree(const MigrateOptions& options, const std::string& session)
    : links(session.substr(0, 16)),
      kernel(!options.no_kernel_introspection),
      tasks(options.pid, files, tracker_kind(options), options.freeze_timeout_ms, kernel) {
  if (options.link_remap) files.set_links(&links);
}

SourceTree::~SourceTree() = default;

CollectOptions collect_options(MigrationContext& context, SourceTree& tree) {
  const MigrateOptions& options = context.options;
  CollectOptions collect;
  collect.ghost_limit_bytes = options.ghost_limit;
  collect.with_files = options.with_files;
  collect.link_remap = options.link_remap;
  collect.external_unix = options.external_unix;
  collect.ext_unix_sk = options.ext_unix_sk;
  collect.file_locks = options.file_locks;
  collect.tcp_established = options.tcp_established;
  collect.packets = &context.packets;
  collect.kernel = &tree.kernel;
  collect.cgroups = options.manage_cgroups == ManageCgroups::soft;
  collect.homes = &tree.homes;
  return collect;
}

}  // namespace crx
