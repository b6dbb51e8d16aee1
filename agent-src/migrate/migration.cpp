#include "agent-src/migrate/migration.hpp"

#include <exception>
#include <optional>
#include <utility>

#include "agent-src/migrate/commit.hpp"
#include "agent-src/migrate/cutover.hpp"
#include "agent-src/migrate/greeting.hpp"
#include "agent-src/migrate/migration_context.hpp"
#include "agent-src/migrate/precopy.hpp"
#include "agent-src/migrate/preflight.hpp"
#include "common/base/error.hpp"
#include "common/base/journal.hpp"
#include "common/base/log.hpp"
#include "common/tool/fault_point.hpp"

namespace crx {
namespace {

// Runs a phase. If it fails, the destination is notified before the phase is destroyed, and with it the tree's trackers
// and cgroup.
template <typename Phase>
auto run_phase(MigrationContext& context, Phase phase) {
  try {
    return std::move(phase).run();
  } catch (const std::exception& error) {
    context.abort(error.what());
    throw;
  }
}

int end_early(MigrationContext& context, const char* reason, Outcome outcome) {
  context.abort(reason);
  return static_cast<int>(outcome);
}

int run_phases(MigrationContext& context) {
  greet(context);
  context.end_phase();
  reach(FaultPoint::source_greeted);
  std::optional<Cleared> cleared = run_phase(context, Preflight(context));
  if (!cleared) return end_early(context, "refused by preflight", Outcome::refused);
  context.end_phase();
  if (context.options.check_only) return end_early(context, "check only", Outcome::moved);
  reach(FaultPoint::source_cleared);
  Precopied precopied = run_phase(context, Precopy(context, *std::move(cleared)));
  PreparedMove prepared = run_phase(context, Cutover(context, std::move(precopied)));
  return run_phase(context, Commit(context, std::move(prepared)));
}

}  // namespace

int run_migration(const MigrateOptions& options, MigrationObserver& observer) {
  int outcome = 0;
  {
    MigrationContext context(options, observer);
    try {
      outcome = run_phases(context);
      if (outcome != 0 || options.check_only) context.stop_short();
    } catch (const std::exception& error) {
      context.abort(error.what());
      context.stop_short();
      throw;
    }
  }
  try {
    prune_journals(options.state_dir, kJournalKeptNs);
  } catch (const Error& error) {
    log::warn("{}", error.what());
  }
  return outcome;
}

}  // namespace crx
