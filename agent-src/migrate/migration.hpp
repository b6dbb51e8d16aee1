// A migration at the source: a list of phases, each of which takes the result of the one before.
#pragma once

#include "agent-src/report/events.hpp"
#include "agent-src/tool/migrate_options.hpp"

namespace crx {

// Moves options.pid to options.to, or with check_only checks whether that would work. Returns the exit code of
// crx-migrate. Throws Error for every failure before the decision: the tree then runs on here, and no change by crx is
// left in it. After the decision the exit code tells a failure, and no Error is thrown, except while --wait waits for
// the program to end. The caller must not have threads yet. `options` and `observer` must outlive the call.
int run_migration(const MigrateOptions& options, MigrationObserver& observer);

}  // namespace crx
