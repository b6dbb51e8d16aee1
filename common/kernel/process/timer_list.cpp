#include "common/kernel/process/timer_list.hpp"

#include <fcntl.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include "common/base/fd.hpp"
#include "common/proc/text.hpp"

namespace crx {
namespace {

std::optional<int64_t> number_behind(std::string_view line, std::string_view label) {
  const auto at = line.find(label);
  if (at == std::string_view::npos) return std::nullopt;
  line.remove_prefix(at + label.size());
  while (!line.empty() && line.front() == ' ') line.remove_prefix(1);
  int64_t value = 0;
  const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), value);
  if (error != std::errc()) return std::nullopt;
  return value;
}

// Parses " #3: <000000000ab3ad12>, hrtimer_wakeup, S:01" into the timer's id; 0 when no thread sleeps on this timer.
uint64_t sleeper_id(std::string_view line) {
  if (line.find(", hrtimer_wakeup,") == std::string_view::npos) return 0;
  const auto open = line.find('<');
  uint64_t id = 0;
  if (open != std::string_view::npos) std::from_chars(line.data() + open + 1, line.data() + line.size(), id, 16);
  return id;
}

}  // namespace

// Each CPU has one list per clock; the offset of the clock to the monotonic one precedes its timers:
//   clock 2: / .offset: 0 nsecs / active timers: / #0: <id>, function, S:01 / # expires at 12-34 nsecs [in ...]
SleepTimers parse_sleep_timers(std::string_view text) {
  SleepTimers timers;
  int64_t offset_ns = 0;
  uint64_t id = 0;
  while (const auto line = proc::next_line(text)) {
    if (line->starts_with("now at ")) {
      timers.now_ns = number_behind(*line, "now at").value_or(0);
    } else if (line->find(".offset:") != std::string_view::npos) {
      offset_ns = number_behind(*line, ".offset:").value_or(0);
    } else if (line->starts_with(" # expires at ")) {
      const auto due = number_behind(*line, "expires at");
      if (id != 0 && due) timers.armed.push_back({id, *due - offset_ns});
      id = 0;
    } else if (line->starts_with(" #")) {
      id = sleeper_id(*line);
    }
  }
  std::sort(timers.armed.begin(), timers.armed.end());
  return timers;
}

SleepTimers read_sleep_timers(int times) {
  SleepTimers all;
  const Fd file = try_open("/proc/timer_list", O_RDONLY);
  for (int i = 0; file && i < times; ++i) {
    // The file is a seq_file: a pread from offset 0 makes the kernel build a fresh list.
    SleepTimers seen = parse_sleep_timers(read_fd(file.get(), "/proc/timer_list"));
    if (i == 0) all.now_ns = seen.now_ns;
    all.armed.insert(all.armed.end(), seen.armed.begin(), seen.armed.end());
  }
  std::sort(all.armed.begin(), all.armed.end());
  all.armed.erase(std::unique(all.armed.begin(), all.armed.end()), all.armed.end());
  return all;
}

}  // namespace crx
