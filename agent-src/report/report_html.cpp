// Makes the page of --report. Inline SVG and CSS only: it must be readable from a mail attachment, without a network.
#include <fcntl.h>
#include <fmt/format.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstdio>

#include "agent-src/report/report.hpp"
#include "common/base/error.hpp"
#include "common/base/fd.hpp"
#include "common/base/size.hpp"

namespace crx {
namespace {

constexpr std::string_view kStyle = R"css(
:root { color-scheme: light dark; --bg:#f7f7f5; --card:#ffffff; --text:#1d2126; --soft:#5d6670; --line:#dfe2e5;
  --raw:#2f6fb2; --compressed:#3f9c7a; --zero:#a4adb6; --stop:#c8442f; }
@media (prefers-color-scheme: dark) { :root { --bg:#14171a; --card:#1d2125; --text:#e8eaec; --soft:#9aa4ae;
  --line:#343a41; --raw:#5b9be0; --compressed:#5fc29c; --zero:#6b757f; --stop:#f0705a; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--bg); color: var(--text); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 980px; margin: 0 auto; padding: 36px 20px 60px; }
h1 { font-size: 25px; line-height: 1.25; margin: 0 0 4px; } h2 { font-size: 17px; margin: 0 0 12px; }
.sub { color: var(--soft); margin: 0 0 24px; overflow-wrap: anywhere; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(170px, 1fr)); gap: 12px; margin-bottom: 16px; }
.tile, section { background: var(--card); border: 1px solid var(--line); border-radius: 10px; }
.tile { padding: 14px 16px; } .tile b { display: block; font-size: 24px; line-height: 1.2; }
.tile span { color: var(--soft); font-size: 13px; } .tile.stop b { color: var(--stop); }
section { padding: 18px 20px; margin-bottom: 16px; overflow-x: auto; }
svg { width: 100%; min-width: 640px; height: auto; display: block; font: 12px system-ui, sans-serif; }
svg text { fill: var(--text); } svg .soft { fill: var(--soft); } svg line { stroke: var(--line); }
.raw { fill: var(--raw); } .compressed { fill: var(--compressed); }
.zero { fill: var(--zero); } .stop { fill: var(--stop); }
.key { color: var(--soft); font-size: 13px; margin: 10px 0 0; }
.key svg { display: inline; width: 11px; min-width: 0; height: 11px; vertical-align: -1px; margin: 0 4px 0 12px; }
table { border-collapse: collapse; width: 100%; font-size: 13px; font-variant-numeric: tabular-nums; }
th, td { padding: 5px 8px; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; } th { color: var(--soft); font-weight: 600; }
)css";

constexpr double kWidth = 920;
constexpr double kLeft = 92;    // where bars begin
constexpr double kRight = 180;  // kept free behind the bars for their labels
constexpr double kRow = 28;
constexpr double kBar = 18;

std::string escape(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string open_svg(double height, std::string_view label) {
  return fmt::format("<svg viewBox=\"0 0 {} {:.0f}\" role=\"img\" aria-label=\"{}\">\n", kWidth, height, escape(label));
}

std::string bar(std::string_view css, double x, double y, double width, std::string_view title) {
  return fmt::format(
      "<rect class=\"{}\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{}\" "
      "rx=\"2\"><title>{}</title></rect>\n",
      css, x, y, std::max(width, 1.5), kBar, escape(title));
}

std::string label(double x, double y, std::string_view anchor, std::string_view css, std::string_view text) {
  return fmt::format("<text class=\"{}\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\">{}</text>\n", css, x, y + 13,
                     anchor, escape(text));
}

std::string round_name(const RoundReport& round) {
  return round.is_final ? "last, stopped" : fmt::format("round {}", round.round);
}

// Returns the distance of the axis lines so that about five fit: 1, 2 or 5 times a power of ten.
int64_t axis_step(int64_t span_us) {
  int64_t step = 1;
  for (;;) {
    for (const int64_t factor : {1, 2, 5}) {
      if (step * factor * 6 >= span_us) return step * factor;
    }
    step *= 10;
  }
}

std::string axis(int64_t span_us, double rows_height) {
  const double scale = (kWidth - kLeft - kRight) / static_cast<double>(span_us);
  std::string out;
  const int64_t step = axis_step(span_us);
  for (int64_t at = 0; at <= span_us; at += step) {
    const double x = kLeft + static_cast<double>(at) * scale;
    out += fmt::format("<line x1=\"{0:.1f}\" x2=\"{0:.1f}\" y1=\"0\" y2=\"{1:.1f}\"/>\n", x, rows_height);
    out += label(x, rows_height + 4, "middle", "soft", at == 0 ? "0" : format_us(at));
  }
  return out;
}

// Draws when each round ran, and beside it how much it found dirty.
std::string draw_timeline(const MigrationReport& report) {
  int64_t span_us = std::max<int64_t>(report.total_us, 1);
  for (const RoundReport& round : report.rounds) span_us = std::max(span_us, round.start_us + round.duration_us);
  const double scale = (kWidth - kLeft - kRight) / static_cast<double>(span_us);
  const double rows = kRow * static_cast<double>(report.rounds.size() + 1);
  std::string out = open_svg(rows + 26, "When each round ran") + axis(span_us, rows);
  double y = 4;
  for (const RoundReport& round : report.rounds) {
    const double x = kLeft + static_cast<double>(round.start_us) * scale;
    const double width = static_cast<double>(round.duration_us) * scale;
    const std::string text = fmt::format("{} in {}", format_size(round.bytes_dirty), format_us(round.duration_us));
    out += label(0, y, "start", "", round_name(round));
    out += bar(round.is_final ? "stop" : "raw", x, y, width, round_name(round) + ": " + text);
    out += label(x + std::max(width, 1.5) + 6, y, "start", "soft", text);
    y += kRow;
  }
  const double x = kLeft + static_cast<double>(report.cutover.start_us) * scale;
  const double width = static_cast<double>(report.frozen_us) * scale;
  out += label(0, y, "start", "", "stopped");
  out += bar("stop", x, y, width, "stopped for " + format_us(report.frozen_us));
  out += label(x + std::max(width, 1.5) + 6, y, "start", "soft", format_us(report.frozen_us));
  return out + "</svg>\n";
}

// Draws the pages sent in each round, by how they were encoded. Bar lengths grow with the square root, since rounds
// shrink by powers of ten.
std::string draw_pages(const MigrationReport& report) {
  uint64_t most = 1;
  for (const RoundReport& round : report.rounds) most = std::max(most, round.pages_sent);
  const auto length = [most](uint64_t pages) {
    return (kWidth - kLeft - kRight) * std::sqrt(static_cast<double>(pages) / static_cast<double>(most));
  };
  std::string out = open_svg(kRow * static_cast<double>(report.rounds.size()), "Pages sent in each round");
  double y = 4;
  for (const RoundReport& round : report.rounds) {
    const double whole = length(round.pages_sent);
    struct Part {
      const char* css;
      uint64_t pages;
    };
    const std::array<Part, 3> parts = {
        {{"raw", round.pages_raw}, {"compressed", round.pages_compressed}, {"zero", round.pages_zero}}};
    uint64_t sum = 0;
    for (const Part& part : parts) sum += part.pages;
    double x = kLeft;
    for (const Part& part : parts) {
      if (part.pages == 0) continue;
      const double width = whole * static_cast<double>(part.pages) / static_cast<double>(sum);
      out += bar(part.css, x, y, width,
                 fmt::format("{}: {} pages {}", round_name(round), format_count(part.pages), part.css));
      x += std::max(width, 1.5);
    }
    out += label(0, y, "start", "", round_name(round));
    out += label(x + 6, y, "start", "soft",
                 fmt::format("{} pages, {}", format_count(round.pages_sent), format_size(round.bytes_wire)));
    y += kRow;
  }
  out += "</svg>\n<p class=\"key\">Bar length: square root of the pages. On the wire:";
  for (const char* css : {"raw", "compressed", "zero"}) {
    out += fmt::format("<svg viewBox=\"0 0 11 11\"><rect class=\"{0}\" width=\"11\" height=\"11\" rx=\"2\"/></svg>{0}",
                       css);
  }
  return out + "</p>\n";
}

// Draws the steps of the stop, one after another.
std::string draw_cutover(const MigrationReport& report) {
  const std::vector<Step> steps = cutover_steps(report.cutover);
  int64_t sum_us = 1;
  for (const Step& step : steps) sum_us += step.us;
  const double scale = (kWidth - kLeft - kRight) / static_cast<double>(sum_us);
  const double rows = kRow * static_cast<double>(steps.size());
  std::string out = open_svg(rows + 26, "The steps of the cutover") + axis(sum_us, rows);
  double x = kLeft;
  double y = 4;
  for (const Step& step : steps) {
    const double width = static_cast<double>(step.us) * scale;
    const std::string text = fmt::format("{} us", format_count(static_cast<uint64_t>(step.us)));
    out += label(0, y, "start", "", step.name);
    out += bar("stop", x, y, width, step.name + ": " + text);
    out += label(x + std::max(width, 1.5) + 6, y, "start", "soft", text);
    x += width;
    y += kRow;
  }
  return out + "</svg>\n";
}

std::string rounds_html(const MigrationReport& report) {
  std::string out =
      "<table><tr><th>round</th><th>scanned</th><th>dirty</th><th>raw</th><th>zero</th>"
      "<th>compressed</th><th>on the wire</th><th>scan</th><th>time</th><th>rate</th></tr>\n";
  for (const RoundReport& round : report.rounds) {
    out += fmt::format(
        "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</"
        "td>"
        "<td>{}</td><td>{}</td></tr>\n",
        round_name(round), format_size(round.bytes_scanned), format_size(round.bytes_dirty),
        format_count(round.pages_raw), format_count(round.pages_zero), format_count(round.pages_compressed),
        format_size(round.bytes_wire), format_us(round.scan_us), format_us(round.duration_us),
        format_rate(round.pages_sent * 4096, round.duration_us));
  }
  return out + "</table>\n";
}

std::string steps_table(std::string_view title, const std::vector<Step>& steps) {
  if (steps.empty()) return {};
  std::string out = fmt::format("<section><h2>{}</h2><table><tr><th>step</th><th>us</th></tr>\n", escape(title));
  for (const Step& step : steps) {
    out += fmt::format("<tr><td>{}</td><td>{}</td></tr>\n", escape(step.name), step.us);
  }
  return out + "</table></section>\n";
}

std::string tile(std::string_view css, std::string_view value, std::string_view caption) {
  return fmt::format("<div class=\"tile {}\"><b>{}</b><span>{}</span></div>\n", css, escape(value), escape(caption));
}

std::string tiles(const MigrationReport& report) {
  const double ratio = report.bytes_raw == 0
                           ? 0.0
                           : 100.0 * static_cast<double>(report.bytes_wire) / static_cast<double>(report.bytes_raw);
  return "<div class=\"tiles\">\n" + tile("stop", format_us(report.downtime_us), "downtime, as the process saw it") +
         tile("", format_us(report.total_us), "from start to finish") +
         tile("", format_size(report.memory_bytes), "memory of the process") +
         tile("", format_size(report.bytes_wire), fmt::format("on the wire, {:.0f}% of the pages sent", ratio)) +
         tile("", report.verify == VerifyResult::ok ? "verified" : "not verified",
              "memory compared before the commit") +
         "</div>\n";
}

std::string utc(int64_t realtime_ns) {
  const time_t seconds = realtime_ns / 1'000'000'000;
  tm parts{};
  ::gmtime_r(&seconds, &parts);
  std::array<char, 32> text{};
  ::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M:%S UTC", &parts);
  return text.data();
}

}  // namespace

std::string render_html(const MigrationReport& report) {
  const std::string title =
      fmt::format("{} (pid {}): {} to {}", report.comm, report.pid, report.source.name, report.destination.name);
  std::string out = fmt::format(
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>crx: {0}</title>\n"
      "<style>{1}</style></head>\n<body><main>\n<h1>{0}</h1>\n<p class=\"sub\">{2} &middot; session {3} "
      "&middot; crx {4}, "
      "kernels {5} and {6} &middot; tracker {7} &middot; compression {8}</p>\n",
      escape(title), kStyle, utc(report.started_ns), escape(report.session), escape(report.source.tool_version),
      escape(report.source.kernel_release), escape(report.destination.kernel_release), escape(report.tracker),
      escape(report.compress));
  out += tiles(report);
  out += "<section><h2>Rounds over time</h2>\n" + draw_timeline(report) + "</section>\n";
  out += "<section><h2>Pages sent</h2>\n" + draw_pages(report) + "</section>\n";
  out += "<section><h2>The stop, step by step</h2>\n" + draw_cutover(report) + "</section>\n";
  out += "<section><h2>Rounds</h2>\n" + rounds_html(report) + "</section>\n";
  out += steps_table("Source, in detail", report.cutover.source_steps);
  out += steps_table("Destination, in detail", report.cutover.destination_steps);
  return out + "</main></body></html>\n";
}

void write_html(const MigrationReport& report, const std::string& path) {
  const std::string text = render_html(report);
  const std::string temporary = fmt::format("{}.{}.tmp", path, ::getpid());
  {
    const Fd fd = open_checked(temporary, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    std::string_view rest = text;
    while (!rest.empty()) {
      const ssize_t n = ::write(fd.get(), rest.data(), rest.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) {
        const int err = errno;
        ::unlink(temporary.c_str());
        throw_errno("writing the report", path, err);
      }
      rest.remove_prefix(static_cast<std::size_t>(n));
    }
  }
  if (std::rename(temporary.c_str(), path.c_str()) != 0) {
    const int err = errno;
    ::unlink(temporary.c_str());
    throw_errno("writing the report", path, err);
  }
}

}  // namespace crx
