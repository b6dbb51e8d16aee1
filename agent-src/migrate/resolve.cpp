#include "agent-src/migrate/resolve.hpp"

#include <fmt/format.h>
#include <time.h>

#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "agent-src/report/events.hpp"
#include "common/base/journal.hpp"

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

std::string advice(JournalState last, bool rebooted) {
  switch (last) {
    case JournalState::done:
      return "settled: the process runs at the destination, the original is gone";
    case JournalState::aborted:
      return "settled: the process stayed on this host";
    case JournalState::go:
      return rebooted ? "in doubt: this host has restarted since, so the original is gone; ask the "
                        "destination's journal"
                      : "in doubt: the original is kept frozen; if the destination's journal of this session "
                        "says RESUMED "
                        "or RESUMING the process runs there, if it says NEVER the original may be thawed";
    default:
      return "not committed: the process stayed on this host";
  }
}

}  // namespace

int run_resolve(const MigrateOptions& options) {
  const std::vector<JournalRecord> records = read_journal(options.state_dir, options.resolve);
  if (records.empty()) {
    std::fprintf(stderr, "crx-migrate: no session %s below %s; is --state right?\n", options.resolve.c_str(),
                 options.state_dir.c_str());
    return static_cast<int>(Outcome::failed);
  }
  const JournalRecord& last = records.back();
  const std::string text = advice(last.state, last.boot_id != read_boot_id());
  for (const JournalRecord& record : records) {
    const std::string line =
        options.json ? nlohmann::ordered_json({{"event", "journal"},
                                               {"session", options.resolve},
                                               {"time", utc(record.time_ns)},
                                               {"boot_id", record.boot_id},
                                               {"state", to_string(record.state)},
                                               {"detail", record.detail}})
                           .dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace)
                     : fmt::format("{} {:8} {}", utc(record.time_ns), to_string(record.state), record.detail);
    std::printf("%s\n", line.c_str());
  }
  std::fprintf(stderr, "%s\n", text.c_str());
  return static_cast<int>(last.state == JournalState::go ? Outcome::in_doubt : Outcome::moved);
}

}  // namespace crx
