// The report of crx-migrate when its worker was killed.
#pragma once

#include "agent-src/report/events.hpp"
#include "agent-src/tool/migrate_options.hpp"
#include "agent-src/tool/worker.hpp"

namespace crx {

// To be called once the worker and its guard have ended; options.session is the session's id. Reads the journal:
// - no GO: lets the original run on, if it is still in the frozen group, and returns failed.
// - GO: leaves the original frozen and returns in_doubt; the message names its control group and the commands that
//   settle the session.
// - DONE or ABORTED: returns moved or failed; the process has moved, or runs on here.
// Notifies the observers of a failure. Never throws.
Outcome conclude_killed(const MigrateOptions& options, const KilledWorker& worker, ObserverList& observers) noexcept;

// Whether the session is over, as far as --timeout is concerned: it is journalled that the tree runs at one of the
// hosts.
bool is_concluded(const MigrateOptions& options) noexcept;

}  // namespace crx
