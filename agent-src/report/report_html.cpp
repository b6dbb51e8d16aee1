// Makes the page of --report. HTML and CSS only: it must be readable from a mail attachment, without a network.
#include <fmt/format.h>
#include <time.h>

#include <array>

#include "agent-src/report/report_charts.hpp"
#include "agent-src/report/report_page.hpp"
#include "common/base/size.hpp"
#include "common/html/html.hpp"

namespace crx {
namespace {

std::string utc(int64_t realtime_ns) {
  const time_t seconds = realtime_ns / 1'000'000'000;
  tm parts{};
  ::gmtime_r(&seconds, &parts);
  std::array<char, 32> text{};
  ::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M:%S UTC", &parts);
  return text.data();
}

std::string title_of(const ReportPage& page) {
  const MigrationReport& report = page.report;
  const std::string process =
      report.comm.empty() ? fmt::format("pid {}", report.pid) : fmt::format("{} (pid {})", report.comm, report.pid);
  const std::string to = report.destination.name.empty() ? page.to : report.destination.name;
  const std::string way = report.source.name.empty() ? "to " + to : fmt::format("{} to {}", report.source.name, to);
  if (page.done) return fmt::format("{}: {}", process, way);
  if (!page.failure) return fmt::format("{} can move: {}", process, way);
  return fmt::format("{} {}: {}", process,
                     page.failure->outcome == Outcome::in_doubt ? "may have moved" : "did not move", way);
}

// The line below the title: everything about the session that is known.
std::string subtitle(const ReportPage& page) {
  const MigrationReport& report = page.report;
  std::string out = "<p class=\"sub\">" + utc(report.started_ns);
  const auto add = [&out](std::string_view name, const std::string& value) {
    if (!value.empty()) out += fmt::format(" &middot; {} {}", name, html::escape(value));
  };
  add("session", report.session);
  add("crx", report.source.tool_version);
  if (!report.source.kernel_release.empty())
    add("kernels", report.source.kernel_release + " and " + report.destination.kernel_release);
  add("tracker", report.tracker);
  add("compression", report.compress);
  return out + "</p>\n";
}

const char* outcome_text(const FailedEvent& failure) {
  switch (failure.outcome) {
    case Outcome::refused:
      return "Refused: nothing was touched";
    case Outcome::in_doubt:
      return "In doubt: the original is kept frozen";
    default:
      break;
  }
  return failure.code == ErrorCode::victim_gone ? "Failed" : "Failed: the process runs on here, unharmed";
}

// Why the migration did not come to be.
std::string reason(const FailedEvent& failure) {
  std::string body = fmt::format("<p id=\"reason\">{}</p>\n", html::escape(failure.message));
  if (failure.outcome == Outcome::in_doubt)
    body += fmt::format("<p>To settle it: <code>crx-migrate --resolve {}</code></p>\n", html::escape(failure.session));
  return fmt::format("<section class=\"bad\" id=\"outcome\"><h2>{}</h2>\n{}</section>\n", outcome_text(failure), body);
}

std::string findings_html(const std::vector<PreflightFinding>& findings) {
  html::Table table("findings", {"object", "found", "remedy", "by", ""}, {1, 2, 3, 4});
  for (const PreflightFinding& finding : findings) {
    table.add({finding.object, finding.reason, finding.remedy.empty() ? "-" : finding.remedy, finding.where,
               finding.fatal ? "refused" : "note"});
  }
  return table.html("Nothing stands in its way.");
}

std::string rounds_html(const MigrationReport& report) {
  html::Table table("rounds",
                    {"round", "scanned", "dirty", "raw", "zero", "compressed", "on the wire", "scan", "time", "rate"});
  for (const RoundReport& round : report.rounds) {
    table.add({round_name(round), format_size(round.bytes_scanned), format_size(round.bytes_dirty),
               format_count(round.pages_raw), format_count(round.pages_zero), format_count(round.pages_compressed),
               format_size(round.bytes_wire), html::count_us(round.scan_us), html::count_us(round.duration_us),
               format_rate(round.pages_sent * 4096, round.duration_us)});
  }
  return table.html("There was none.");
}

std::string steps_section(std::string_view title, std::string_view id, const std::vector<Step>& steps) {
  if (steps.empty()) return {};
  html::Table table(id, {"step", "time"});
  for (const Step& step : steps) table.add({step.name, html::count_us(step.us)});
  return html::section(title, table.html(""));
}

std::vector<html::Tile> tiles_of(const ReportPage& page) {
  const MigrationReport& report = page.report;
  const double ratio = report.bytes_raw == 0
                           ? 0.0
                           : 100.0 * static_cast<double>(report.bytes_wire) / static_cast<double>(report.bytes_raw);
  std::vector<html::Tile> all;
  if (page.done) {
    all.push_back({"stop", "downtime_us", std::to_string(report.downtime_us), html::exact_us(report.downtime_us),
                   "downtime, as the process saw it"});
  }
  all.push_back({"", "total_us", std::to_string(report.total_us), html::exact_us(report.total_us),
                 page.done ? "from start to finish" : "until it ended"});
  all.push_back({"", "memory_bytes", std::to_string(report.memory_bytes), format_size(report.memory_bytes),
                 "memory of the process"});
  all.push_back({"", "bytes_wire", std::to_string(report.bytes_wire), format_size(report.bytes_wire),
                 fmt::format("on the wire, {:.0f}% of the pages sent", ratio)});
  if (page.done) {
    const bool ok = report.verify == VerifyResult::ok;
    all.push_back({ok ? "good" : "", "verify", ok ? "ok" : "off", ok ? "verified" : "not verified",
                   "memory compared before the commit"});
  }
  return all;
}

}  // namespace

std::string render_html(const ReportPage& page) {
  const MigrationReport& report = page.report;
  const std::string title = title_of(page);
  std::string out = html::begin_page("crx: " + title) + fmt::format("<h1>{}</h1>\n", html::escape(title));
  out += subtitle(page);
  if (page.failure) out += reason(*page.failure);
  if (!page.findings.empty() || (page.check_only && !page.failure))
    out += html::section("Findings", findings_html(page.findings));
  if (!report.phases.empty()) {
    out += html::tiles(tiles_of(page));
    out += html::section("From start to finish", draw_phases(report));
  }
  if (!report.cutover.stop_steps.empty()) out += html::section("The stop, step by step", draw_stop(report, page.done));
  if (!report.rounds.empty()) {
    out += html::section("Pages sent", draw_pages(report));
    out += html::section("Rounds", rounds_html(report));
  }
  out += "<div class=\"pair\">\n";
  out += steps_section("Source, in detail", "source_steps", report.cutover.source_steps);
  out += steps_section("Destination, in detail", "destination_steps", report.cutover.destination_steps);
  return out + "</div>\n" + html::end_page();
}

}  // namespace crx
