#include "agent-src/report/report_charts.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "common/base/size.hpp"
#include "common/html/html.hpp"

namespace crx {
namespace {

double share(int64_t part, int64_t whole) {
  return whole > 0 ? static_cast<double>(part) / static_cast<double>(whole) : 0.0;
}

int64_t sum_of(const std::vector<Step>& steps) {
  int64_t sum = 0;
  for (const Step& step : steps) sum += step.us;
  return sum;
}

html::Row row_of(const std::string& name, const char* css, int64_t start_us, int64_t us, int64_t span_us) {
  const std::string text = html::count_us(us);
  return {name, {{css, share(start_us, span_us), share(us, span_us), name + ": " + text}}, text, us, false};
}

}  // namespace

std::string round_name(const RoundReport& round) {
  return round.is_final ? "last, stopped" : fmt::format("round {}", round.round);
}

std::string draw_phases(const MigrationReport& report) {
  const int64_t span_us = std::max<int64_t>(report.total_us, 1);
  std::vector<html::Row> rows;
  int64_t at_us = 0;
  for (const Step& phase : report.phases) {
    const bool is_rounds = phase.name == kPhases[3];
    const bool is_stop = phase.name == kPhases[5];
    rows.push_back(row_of(phase.name, is_stop ? "stop" : is_rounds ? "raw" : "calm", at_us, phase.us, span_us));
    for (const RoundReport& round : report.rounds) {
      if (!is_rounds || round.is_final) continue;
      html::Row row = row_of(round_name(round), "raw", round.start_us, round.duration_us, span_us);
      row.text = fmt::format("{}, {} µs", format_size(round.bytes_dirty),
                             format_count(static_cast<uint64_t>(round.duration_us)));
      row.indented = true;
      rows.push_back(std::move(row));
    }
    at_us += phase.us;
  }
  const html::Sum sum{"in all", html::exact_us(report.total_us), "total_us", report.total_us};
  return html::chart("phase", rows, span_us, &sum);
}

std::string draw_stop(const MigrationReport& report, bool done) {
  const std::vector<Step>& steps = report.cutover.stop_steps;
  const int64_t span_us = std::max<int64_t>(sum_of(steps), 1);
  std::vector<html::Row> rows;
  int64_t at_us = 0;
  for (const Step& step : steps) {
    rows.push_back(row_of(step.name, "stop", at_us, step.us, span_us));
    at_us += step.us;
  }
  const html::Sum sum{done ? "downtime" : "in all", html::exact_us(at_us), done ? "downtime_us" : "stopped_us", at_us};
  std::string out = html::chart("step", rows, span_us, &sum);
  if (!done) return out;
  return out + fmt::format(
                   "<p class=\"note\">All steps are measured here, except the last, which the destination measures; GO "
                   "travels for half a round trip. News that the process runs came back after <b "
                   "data-key=\"frozen_us\" data-value=\"{}\">{}</b>.</p>\n",
                   report.frozen_us, html::exact_us(report.frozen_us));
}

std::string draw_pages(const MigrationReport& report) {
  uint64_t most = 1;
  for (const RoundReport& round : report.rounds) most = std::max(most, round.pages_sent);
  std::vector<html::Row> rows;
  for (const RoundReport& round : report.rounds) {
    const std::array<std::pair<const char*, uint64_t>, 3> parts = {
        {{"raw", round.pages_raw}, {"compressed", round.pages_compressed}, {"zero", round.pages_zero}}};
    uint64_t sum = 0;
    for (const auto& [css, pages] : parts) sum += pages;
    const double whole = std::sqrt(static_cast<double>(round.pages_sent) / static_cast<double>(most));
    html::Row row;
    row.name = round_name(round);
    row.text = fmt::format("{} pages, {}", format_count(round.pages_sent), format_size(round.bytes_wire));
    row.value = static_cast<int64_t>(round.pages_sent);
    double left = 0;
    for (const auto& [css, pages] : parts) {
      if (pages == 0) continue;
      const double width = whole * static_cast<double>(pages) / static_cast<double>(sum);
      row.pieces.push_back(
          {css, left, width, fmt::format("{}: {} pages {}", round_name(round), format_count(pages), css)});
      left += width;
    }
    rows.push_back(std::move(row));
  }
  std::string out = html::chart("pages", rows, 0);
  out += "<p class=\"key\">Bar length: square root of the pages. On the wire:";
  for (const char* css : {"raw", "compressed", "zero"}) out += fmt::format("<i class=\"{0}\"></i>{0}", css);
  return out + "</p>\n";
}

}  // namespace crx
