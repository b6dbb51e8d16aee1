// crx-migrate: moves a running process tree to another host.
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <exception>
#include <optional>

#include "agent-src/migrate/migration.hpp"
#include "agent-src/report/json_events.hpp"
#include "agent-src/report/progress.hpp"
#include "agent-src/report/report_page.hpp"
#include "agent-src/settle/killed_worker.hpp"
#include "agent-src/settle/settle.hpp"
#include "agent-src/tool/check_target.hpp"
#include "agent-src/tool/migrate_options.hpp"
#include "agent-src/tool/worker.hpp"
#include "common/base/journal.hpp"
#include "common/base/log.hpp"
#include "common/session/session_table.hpp"
#include "common/systemd/journal_log.hpp"
#include "common/tool/sanitize_startup_state.hpp"

namespace crx {
namespace {

int migrate(const MigrateOptions& options, ObserverList& observers) {
  try {
    check_target(options.pid, "crx-migrate");
    return static_cast<int>(observers.conclude(run_migration(options, observers)));
  } catch (const Error& error) {
    return static_cast<int>(observers.conclude(error));
  } catch (const std::exception& error) {
    return static_cast<int>(observers.conclude(Error(ErrorCode::bug, "moving the process", error.what())));
  }
}

int settle(const MigrateOptions& options) {
  try {
    return run_settle(options);
  } catch (const Error& error) {
    std::fprintf(stderr, "crx-migrate: %s\n", error.what());
    return static_cast<int>(Outcome::failed);
  }
}

// The receivers of the events, as the options say.
struct Observers {
  explicit Observers(const MigrateOptions& options)
      : human(STDERR_FILENO, {.live = wants_live_line(options.progress, STDERR_FILENO),
                              .summary = !options.json,
                              .check_only = options.check_only}),
        page(options.pid, options.to.text(), options.check_only),
        all(options.pid) {
    if (options.json) all.add(json.emplace(STDOUT_FILENO, options.wait));
    all.add(human);
    if (!options.report.empty()) all.add(page);
  }

  std::optional<JsonEvents> json;
  HumanOutput human;
  PageObserver page;
  ObserverList all;
};

// A report that cannot be written does not change the outcome for the process.
void write_report(const MigrateOptions& options, const PageObserver& page) {
  if (options.report.empty() || !page.is_complete()) return;
  try {
    page.write(options.report);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "crx-migrate: %s%s\n", page.page().done ? "the process has moved, but: " : "", error.what());
  }
}

int run(const MigrateOptions& options) {
  ::signal(SIGPIPE, SIG_IGN);
  log::setup(options.log_level, "migrate");
  log::log_to_journal();
  if (!settled_session(options).empty()) return settle(options);
  Observers output(options);
  ObserverList& observers = output.all;
  const int outcome = migrate(options, observers);
  write_report(options, output.page);
  return outcome == 0 && observers.wait_status() ? shell_status(*observers.wait_status()) : outcome;
}

// In the process that the user sees.
int run_killed(const MigrateOptions& options, const KilledWorker& worker) {
  ::signal(SIGPIPE, SIG_IGN);
  log::setup(options.log_level, "migrate");
  log::log_to_journal();
  if (!settled_session(options).empty()) return 128 + worker.signal;
  Observers output(options);
  const Outcome outcome = conclude_killed(options, worker, output.all);
  write_report(options, output.page);
  return static_cast<int>(outcome);
}

int start(MigrateOptions options) {
  if (options.list) return print_sessions({{options.state_dir}, options.all, options.json});
  options.session = make_session_id();
  WorkerOptions worker;
  worker.killed = [&](const KilledWorker& end) { return run_killed(options, end); };
  worker.is_committed = [&] { return is_concluded(options); };
  worker.timeout_ms = options.timeout_ms;
  if (!options.hook.empty()) worker.grace_ms += options.hook_timeout_ms;  // of the stage "aborted"
  return run_in_worker([&] { return run(options); }, worker);
}

}  // namespace
}  // namespace crx

int main(int argc, char** argv) {
  crx::sanitize_startup_state();
  try {
    const crx::ParsedMigrateOptions parsed = crx::parse_migrate_options(argc, argv);
    if (parsed.options) return crx::start(*parsed.options);
    std::fputs(parsed.text.c_str(), parsed.exit_code == 0 ? stdout : stderr);
    return parsed.exit_code;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "crx-migrate: %s\n", error.what());
    return 1;
  }
}
