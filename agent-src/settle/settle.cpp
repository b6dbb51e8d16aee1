#include "agent-src/settle/settle.hpp"

#include <fmt/format.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "agent-src/recover/decide_session.hpp"
#include "agent-src/recover/in_doubt.hpp"
#include "agent-src/recover/resolve_session.hpp"
#include "agent-src/report/events.hpp"
#include "agent-src/tool/worker.hpp"
#include "common/base/clock.hpp"
#include "common/base/journal.hpp"
#include "common/base/log.hpp"
#include "common/session/session_table.hpp"
#include "common/session/source_session.hpp"

namespace crx {
namespace {

std::string outcome_text(Resolution resolution, const MigrateOptions& options) {
  switch (resolution) {
    case Resolution::moved:
      return "settled: the process runs at the destination, the original is gone";
    case Resolution::discarded:
      return "settled: the original has been ended; the process runs at the destination or nowhere";
    case Resolution::stays:
      return "settled: the process runs on this host";
    case Resolution::ended:
      return "settled: the process has ended: the destination does not run it, and the original has ended here";
    case Resolution::unresolved:
      break;
  }
  const auto description = find_source_session(read_journal(options.state_dir, settled_session(options)));
  return "in doubt: " + (description ? describe_kept(*description, settled_session(options)) : std::string());
}

void print(const JournalRecord& record, const MigrateOptions& options) {
  const std::string line =
      options.json ? nlohmann::ordered_json({{"event", "journal"},
                                             {"session", settled_session(options)},
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
  ResolveRequest request{options.state_dir, settled_session(options), std::nullopt, {}, {}, {}};
  if (options.to.port != 0) request.to = options.to;
  if (options.has_tls_dir) request.tls_dir = options.tls_dir;
  request.stop = [limit] { return stop_requested() || limit.passed(); };
  request.waits = [](const std::string& reason) { std::fprintf(stderr, "crx-migrate: asked: %s\n", reason.c_str()); };
  return request;
}

Resolution settle(const MigrateOptions& options) {
  const ResolveRequest request = request_of(options);
  if (!options.resolve.empty()) return resolve_session(request);
  return decide_session(request, options.adopt.empty() ? Decision::discard : Decision::adopt);
}

}  // namespace

const std::string& settled_session(const MigrateOptions& options) {
  if (!options.resolve.empty()) return options.resolve;
  return options.adopt.empty() ? options.discard : options.adopt;
}

int run_settle(const MigrateOptions& options) {
  const std::string& session = settled_session(options);
  const std::vector<JournalRecord> records = read_journal(options.state_dir, session);
  for (const JournalRecord& record : records) print(record, options);
  const Resolution resolution = settle(options);
  const std::vector<JournalRecord> after = read_journal(options.state_dir, session);
  for (std::size_t i = records.size(); i < after.size(); ++i) print(after[i], options);
  std::fprintf(stderr, "crx-migrate: %s\n", outcome_text(resolution, options).c_str());
  return static_cast<int>(resolution == Resolution::unresolved ? Outcome::in_doubt : Outcome::moved);
}

}  // namespace crx
