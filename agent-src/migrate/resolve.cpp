#include "agent-src/migrate/resolve.hpp"

#include <fmt/format.h>
#include <time.h>

#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "agent-src/recover/resolve_session.hpp"
#include "agent-src/report/events.hpp"
#include "agent-src/tool/worker.hpp"
#include "common/base/clock.hpp"
#include "common/base/journal.hpp"
#include "common/base/log.hpp"

namespace crx {
namespace {

std::string utc(int64_t realtime_ns) {
  const time_t seconds = realtime_ns / 1'000'000'000;
  tm parts{};
  ::gmtime_r(&seconds, &parts);
  std::array<char, 32> text{};
  ::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text.data();
}

std::string outcome_text(Resolution resolution, const std::string& session) {
  switch (resolution) {
    case Resolution::moved:
      return "settled: the process runs at the destination, the original is gone";
    case Resolution::stays:
      return "settled: the process runs on this host";
    case Resolution::ended:
      return "settled: the process has ended: the destination does not run it, and the original has ended here";
    case Resolution::unresolved:
      break;
  }
  return fmt::format(
      "in doubt: the original stays frozen until the destination answers; a crx-agent of this host goes on asking, and "
      "so does crx-migrate --resolve {}",
      session);
}

void print(const JournalRecord& record, const MigrateOptions& options) {
  const std::string line =
      options.json ? nlohmann::ordered_json({{"event", "journal"},
                                             {"session", options.resolve},
                                             {"time", utc(record.time_ns)},
                                             {"boot_id", record.boot_id},
                                             {"state", to_string(record.state)},
                                             {"detail", record.detail}})
                         .dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace)
                   : fmt::format("{} {:8} {}", utc(record.time_ns), to_string(record.state), printable(record.detail));
  std::printf("%s\n", line.c_str());
}

ResolveRequest request_of(const MigrateOptions& options) {
  const Deadline limit = options.timeout_ms > 0 ? Deadline::in_ms(options.timeout_ms) : Deadline::never();
  ResolveRequest request{options.state_dir, options.resolve, std::nullopt, {}, {}, {}};
  if (options.to.port != 0) request.to = options.to;
  if (options.has_tls_dir) request.tls_dir = options.tls_dir;
  request.stop = [limit] { return stop_requested() || limit.passed(); };
  request.waits = [](const std::string& reason) { std::fprintf(stderr, "crx-migrate: asked: %s\n", reason.c_str()); };
  return request;
}

}  // namespace

int run_resolve(const MigrateOptions& options) {
  const std::vector<JournalRecord> records = read_journal(options.state_dir, options.resolve);
  if (records.empty()) {
    std::fprintf(stderr, "crx-migrate: no session %s below %s; is --state right?\n", options.resolve.c_str(),
                 options.state_dir.c_str());
    return static_cast<int>(Outcome::failed);
  }
  for (const JournalRecord& record : records) print(record, options);
  const Resolution resolution = resolve_session(request_of(options));
  const std::vector<JournalRecord> after = read_journal(options.state_dir, options.resolve);
  for (std::size_t i = records.size(); i < after.size(); ++i) print(after[i], options);
  std::fprintf(stderr, "%s\n", outcome_text(resolution, options.resolve).c_str());
  return static_cast<int>(resolution == Resolution::unresolved ? Outcome::in_doubt : Outcome::moved);
}

}  // namespace crx
