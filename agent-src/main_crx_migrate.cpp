// crx-migrate: moves a running process tree to another host.
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <exception>
#include <optional>

#include "agent-src/migrate/migration.hpp"
#include "agent-src/migrate/resolve.hpp"
#include "agent-src/report/json_events.hpp"
#include "agent-src/report/progress.hpp"
#include "agent-src/tool/migrate_options.hpp"
#include "agent-src/tool/worker.hpp"
#include "common/base/log.hpp"
#include "common/tool/sanitize_startup_state.hpp"

namespace crx {
namespace {

int migrate(const MigrateOptions& options, ObserverList& observers) {
  try {
    if (::kill(options.pid, 0) != 0 && errno == ESRCH) {
      throw Error(ErrorCode::victim_gone, "finding the process", "there is none")
          .with_pid(options.pid)
          .with_hint("see ps -e for those there are");
    }
    return static_cast<int>(observers.conclude(run_migration(options, observers)));
  } catch (const Error& error) {
    return static_cast<int>(observers.conclude(error));
  } catch (const std::exception& error) {
    return static_cast<int>(observers.conclude(Error(ErrorCode::bug, "moving the process", error.what())));
  }
}

int resolve(const MigrateOptions& options) {
  try {
    return run_resolve(options);
  } catch (const Error& error) {
    std::fprintf(stderr, "crx-migrate: %s\n", error.what());
    return static_cast<int>(Outcome::failed);
  }
}

// A report that cannot be written does not change the outcome for the process.
void write_report(const MigrateOptions& options, const ObserverList& observers) {
  if (options.report.empty() || !observers.report()) return;
  try {
    write_html(*observers.report(), options.report);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "crx-migrate: the process has moved, but: %s\n", error.what());
  }
}

int run(const MigrateOptions& options) {
  ::signal(SIGPIPE, SIG_IGN);
  log::setup(options.log_level, "migrate");
  if (!options.resolve.empty()) return resolve(options);
  std::optional<JsonEvents> json;
  if (options.json) json.emplace(STDOUT_FILENO, options.wait);
  HumanOutput human(STDERR_FILENO, {.live = wants_live_line(options.progress, STDERR_FILENO),
                                    .summary = !options.json,
                                    .check_only = options.check_only});
  ObserverList observers(options.pid);
  if (json) observers.add(*json);
  observers.add(human);
  const int outcome = migrate(options, observers);
  write_report(options, observers);
  return outcome == 0 && observers.wait_status() ? shell_status(*observers.wait_status()) : outcome;
}

}  // namespace
}  // namespace crx

int main(int argc, char** argv) {
  crx::sanitize_startup_state();
  try {
    const crx::ParsedMigrateOptions parsed = crx::parse_migrate_options(argc, argv);
    if (parsed.options) return crx::run_in_worker([&] { return crx::run(*parsed.options); });
    std::fputs(parsed.text.c_str(), parsed.exit_code == 0 ? stdout : stderr);
    return parsed.exit_code;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "crx-migrate: %s\n", error.what());
    return 1;
  }
}
