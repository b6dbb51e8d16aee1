// crx-dump: writes a running process tree to image files.
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <exception>
#include <string>
#include <utility>
#include <vector>

#include "agent-src/dump/dump.hpp"
#include "agent-src/dump/dump_options.hpp"
#include "agent-src/tool/check_target.hpp"
#include "agent-src/tool/worker.hpp"
#include "common/base/error.hpp"
#include "common/base/log.hpp"
#include "common/base/size.hpp"
#include "common/kernel/process/freezer_group.hpp"
#include "common/kernel/process/thawed_groups.hpp"
#include "common/systemd/journal_log.hpp"
#include "common/tool/error_json.hpp"
#include "common/tool/sanitize_startup_state.hpp"

namespace crx {
namespace {

constexpr int kFailed = 1;
constexpr int kRefused = 3;

void say(const DumpOptions& options, const DumpReport& report) {
  if (options.json) {
    std::fprintf(
        stdout,
        "{\"event\":\"done\",\"pid\":%d,\"frozen_us\":%lld,\"total_ms\":%lld,\"pages\":%llu,\"parent_pages\":%llu,"
        "\"freed_bytes\":%llu}\n",
        static_cast<int>(options.pid), static_cast<long long>(report.frozen_us),
        static_cast<long long>(report.total_us / 1000), static_cast<unsigned long long>(report.pages),
        static_cast<unsigned long long>(report.parent_pages), static_cast<unsigned long long>(report.freed_bytes));
    return;
  }
  log::info("process {}: {} written, {} left to the parent set; stopped for {}, {} in all", options.pid,
            format_size(report.pages * 4096), format_size(report.parent_pages * 4096), format_us(report.frozen_us),
            format_us(report.total_us));
}

int run(const DumpOptions& options) {
  ::signal(SIGPIPE, SIG_IGN);
  log::setup(options.log_level, "dump");
  log::log_to_journal();
  try {
    check_target(options.pid, "crx-dump");
    say(options, run_dump(options));
    return 0;
  } catch (const Error& failure) {
    Error error = failure;
    if (error.code() == ErrorCode::peer && error.hint().empty())
      error = std::move(error).with_hint("the process runs on; the log of the other host may give the reason");
    if (options.json) std::printf("%s\n", error_json(error).c_str());
    std::fprintf(stderr, "crx-dump: %s\n", error.what());
    return error.code() == ErrorCode::refused ? kRefused : kFailed;
  } catch (const std::exception& error) {  // for example std::bad_alloc
    if (options.json) std::printf("%s\n", error_json(error).c_str());
    std::fprintf(stderr, "crx-dump: %s\n", error.what());
    return kFailed;
  }
}

// In the process that the user sees.
int run_killed(const DumpOptions& options, const KilledWorker& worker) {
  const Error error =
      Error(ErrorCode::kernel, "dumping the process",
            worker.gave_up
                ? "crx-dump was to stop and did not, perhaps since a file lies on storage that does not answer"
                : fmt::format("the worker of crx-dump was killed by signal {}", worker.signal))
          .with_pid(options.pid)
          .with_hint("the process runs on");
  if (options.json) std::printf("%s\n", error_json(error).c_str());
  std::fprintf(stderr, "crx-dump: %s\n", error.what());
  return kFailed;
}

int start(const DumpOptions& options) {
  // A worker that is killed does not freeze again what it has thawed.
  const std::vector<std::string> frozen = options.thaw ? find_frozen_groups(options.pid) : std::vector<std::string>();
  WorkerOptions worker;
  worker.killed = [&](const KilledWorker& end) {
    freeze_again(frozen);
    return run_killed(options, end);
  };
  return run_in_worker([&] { return run(options); }, worker);
}

}  // namespace
}  // namespace crx

int main(int argc, char** argv) {
  crx::sanitize_startup_state();
  try {
    const crx::ParsedDumpOptions parsed = crx::parse_dump_options(argc, argv);
    if (parsed.options) return crx::start(*parsed.options);
    std::fputs(parsed.text.c_str(), parsed.exit_code == 0 ? stdout : stderr);
    return parsed.exit_code;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "crx-dump: %s\n", error.what());
    return 1;
  }
}
