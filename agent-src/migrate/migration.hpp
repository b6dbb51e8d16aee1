// A migration as the source sees it: a list of phases, each of which takes what the one before it has reached.
#pragma once

#include "agent-src/report/events.hpp"
#include "agent-src/tool/migrate_options.hpp"

namespace crx {

// Moves options.pid to options.to, or (check_only) says whether that would work. Returns the exit code of crx-migrate.
// Throws Error for whatever fails before the decision: the process then runs on here, untouched or as it was, and
// nothing of ours is left in it. After the decision it does not throw. The caller must not have threads yet.
int run_migration(const MigrateOptions& options, MigrationObserver& observer);

}  // namespace crx
