#include "agent-src/freeze/stopped_timers.hpp"

#include <algorithm>
#include <utility>

namespace crx {
namespace {

constexpr int kReadingsAhead = 4;  // readings in advance, if there is time for them

}  // namespace

void StoppedTimers::look() {
  armed_ = read_sleep_timers(kReadingsAhead).armed;
}

void StoppedTimers::compare() {
  const SleepTimers now = read_sleep_timers();
  disarmed_.clear();
  std::vector<SleepTimer> rest;
  for (const SleepTimer& timer : armed_) {
    if (timer.due_ns <= now.now_ns) continue;
    if (std::binary_search(now.armed.begin(), now.armed.end(), timer)) {
      rest.push_back(timer);
    } else {
      disarmed_.push_back(timer.due_ns);
    }
  }
  armed_ = std::move(rest);
  std::sort(disarmed_.begin(), disarmed_.end());
}

std::optional<int64_t> StoppedTimers::latest_until(int64_t due_ns) const {
  const auto end = std::upper_bound(disarmed_.begin(), disarmed_.end(), due_ns);
  if (end == disarmed_.begin()) return std::nullopt;
  return *(end - 1);
}

}  // namespace crx
