#include "agent-src/report/report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "agent-src/report/progress.hpp"
#include "common/base/log.hpp"
#include "common/base/size.hpp"

namespace crx {
namespace {

std::string rounds_table(const MigrationReport& report) {
  std::string out = fmt::format("{:>7} {:>11} {:>11} {:>9} {:>9} {:>9} {:>11} {:>9} {:>12}\n", "round", "scanned",
                                "dirty", "raw", "zero", "compr.", "on wire", "time", "rate");
  for (const RoundReport& round : report.rounds) {
    out += fmt::format("{:>7} {:>11} {:>11} {:>9} {:>9} {:>9} {:>11} {:>9} {:>12}\n",
                       round.is_final ? "last" : std::to_string(round.round), format_size(round.bytes_scanned),
                       format_size(round.bytes_dirty), format_count(round.pages_raw), format_count(round.pages_zero),
                       format_count(round.pages_compressed), format_size(round.bytes_wire),
                       format_us(round.duration_us), format_rate(round.pages_sent * 4096, round.duration_us));
  }
  return out;
}

std::string cutover_table(const MigrationReport& report) {
  const std::vector<Step> steps = cutover_steps(report.cutover);
  int64_t longest = 1;
  for (const Step& step : steps) longest = std::max(longest, step.us);
  std::string out;
  for (const Step& step : steps) {
    out += fmt::format("{:>12} {:>10} us  {}\n", step.name, format_count(static_cast<uint64_t>(step.us)),
                       std::string(static_cast<std::size_t>(step.us * 40 / longest), '#'));
  }
  return out;
}

}  // namespace

std::vector<Step> cutover_steps(const CutoverReport& cutover) {
  const std::vector<Step> all = {{"freeze", cutover.freeze_us},         {"collect", cutover.collect_us},
                                 {"last pages", cutover.last_pages_us}, {"apply", cutover.apply_us},
                                 {"rebuild", cutover.rebuild_us},       {"commit", cutover.commit_us},
                                 {"resume", cutover.resume_us}};
  std::vector<Step> measured;
  std::copy_if(all.begin(), all.end(), std::back_inserter(measured), [](const Step& step) { return step.us >= 0; });
  return measured;
}

std::string render_summary(const MigrationReport& report) {
  const double ratio =
      report.bytes_raw == 0 ? 0.0 : static_cast<double>(report.bytes_wire) / static_cast<double>(report.bytes_raw);
  std::string out = "\n" + rounds_table(report) + "\n" + cutover_table(report) + "\n";
  out += fmt::format("pid {} ({}) moved from {} to {} in {}: {} sent, {} on the wire ({:.2f}){}\n", report.pid,
                     printable(report.comm), printable(report.source.name), printable(report.destination.name),
                     format_us(report.total_us), format_size(report.bytes_raw), format_size(report.bytes_wire), ratio,
                     report.verify == VerifyResult::ok ? ", memory verified" : "");
  out += fmt::format("downtime {} (frozen here for {})\n", format_us(report.downtime_us), format_us(report.frozen_us));
  return out;
}

}  // namespace crx
