#include "common/proc/sched.hpp"

#include "common/proc/text.hpp"

namespace crx::proc {
namespace {

// Parses milliseconds with six decimals ("1495973.803354") into nanoseconds.
int64_t milliseconds(Scanner& line) {
  const bool negative = line.accept("-");
  const auto ms = static_cast<int64_t>(line.dec(INT64_MAX / 1'000'000 - 1));
  const std::string_view digits = line.expect(".").left();
  if (digits.size() != 6) line.fail("six decimals should follow");
  const int64_t ns = ms * 1'000'000 + static_cast<int64_t>(line.dec());
  return negative ? -ns : ns;
}

}  // namespace

SchedInfo parse_sched(std::string_view text) {
  SchedInfo info;
  // The lines above the rule hold the thread's name: up to 15 arbitrary bytes.
  constexpr std::string_view kRule = "\n----------------";
  const std::size_t rule = text.find(kRule);
  if (rule == std::string_view::npos) return info;
  text.remove_prefix(rule + 1);
  while (const auto text_line = next_line(text)) {
    const std::size_t colon = text_line->rfind(" :");
    if (colon == std::string_view::npos) continue;
    std::string_view key = text_line->substr(0, text_line->find(' '));
    Scanner line("/proc/PID/sched", text_line->substr(colon + 2));
    line.blanks();
    if (key == "se.exec_start") {
      info.exec_start_ns = milliseconds(line);
    } else if (key == "se.sum_exec_runtime") {
      info.sum_exec_runtime_ns = milliseconds(line);
    } else if (key == "nr_switches") {
      info.switches = line.dec();
    } else if (key == "nr_voluntary_switches") {
      info.voluntary_switches = line.dec();
    } else if (key == "nr_involuntary_switches") {
      info.involuntary_switches = line.dec();
    } else if (key == "se.slice") {
      info.slice_ns = line.signed_dec();
    }
  }
  return info;
}

}  // namespace crx::proc
