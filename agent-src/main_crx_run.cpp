// crx-run: starts a program so that it can move.
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <exception>
#include <optional>

#include "agent-src/run/launch.hpp"
#include "agent-src/run/movable.hpp"
#include "agent-src/run/run_options.hpp"
#include "common/base/error.hpp"
#include "common/base/log.hpp"
#include "common/tool/error_json.hpp"
#include "common/tool/findings.hpp"
#include "common/tool/sanitize_startup_state.hpp"

namespace crx {
namespace {

void report_start(const RunOptions& options, pid_t pid) {
  std::fputs(
      (options.json ? fmt::format("{{\"event\":\"started\",\"pid\":{}}}\n", pid) : fmt::format("{}\n", pid)).c_str(),
      stdout);
  std::fflush(stdout);
}

// Returns the exit code.
int report_end(const RunOptions& options, const ChildStatus& end) {
  const std::string& output = options.launch.output;
  const Error error = Error(ErrorCode::victim_gone, "starting the program",
                            fmt::format("it has ended already, with exit status {}", end.shell_code()))
                          .with_hint(output.empty() ? "see what it writes with --output FILE" : "see " + output);
  if (options.json) std::printf("%s\n", error_json(error).c_str());
  std::fprintf(stderr, "crx-run: %s\n", error.what());
  return end.succeeded() ? 0 : 1;
}

void report_obstacles(const RunOptions& options, pid_t pid) {
  if (::geteuid() != 0) {
    log::warn("process {} was not looked at for what would keep it from moving; that takes root", pid);
    return;
  }
  try {
    const std::vector<Finding> findings = find_obstacles(pid);
    for (const FindingLine& line : render_findings(findings)) {
      std::fprintf(stderr, "crx-run: process %d runs, but would not move: %s\n", static_cast<int>(pid),
                   line.text.c_str());
    }
    if (!options.json) return;
    for (const Finding& f : findings) std::printf("%s\n", finding_line(f.object, f.reason, f.remedy).c_str());
  } catch (const Error& error) {  // the program runs all the same
    log::warn("process {} runs, but cannot be looked at: {}", pid, error.what());
  }
}

int run(const RunOptions& options) {
  ::signal(SIGPIPE, SIG_IGN);
  log::setup(options.log_level, "run");
  try {
    ChildProcess program = launch(options.launch);
    const pid_t pid = program.pid();
    report_start(options, pid);
    if (const auto end = wait_until_settled(program)) return report_end(options, *end);
    (void)program.release();
    report_obstacles(options, pid);
    return 0;
  } catch (const std::exception& error) {
    if (options.json) std::printf("%s\n", error_json(error).c_str());
    std::fprintf(stderr, "crx-run: %s\n", error.what());
    return 1;
  }
}

}  // namespace
}  // namespace crx

int main(int argc, char** argv) {
  crx::sanitize_startup_state();
  try {
    const crx::ParsedRunOptions parsed = crx::parse_run_options(argc, argv);
    if (parsed.options) return crx::run(*parsed.options);
    std::fputs(parsed.text.c_str(), parsed.exit_code == 0 ? stdout : stderr);
    return parsed.exit_code;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "crx-run: %s\n", error.what());
    return 1;
  }
}
