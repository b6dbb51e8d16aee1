#include "common/proc/timers.hpp"

#include <csignal>

#include "common/proc/text.hpp"

namespace crx::proc {
namespace {

// Parses "signal/pid.7061", "none/pid.7061" or "thread/pid.7061"; with SIGEV_THREAD_ID "tid." stands in place of
// "pid.".
void notify(PosixTimer& timer, Scanner& line) {
  const std::string_view how = line.until('/');
  if (how == "signal") {
    timer.notify = SIGEV_SIGNAL;
  } else if (how == "none") {
    timer.notify = SIGEV_NONE;
  } else if (how == "thread") {
    timer.notify = SIGEV_THREAD;
  } else {
    line.fail("the notification is unknown");
  }
  line.expect("/");
  timer.to_thread = line.accept("tid.");
  if (timer.to_thread) {
    timer.notify |= SIGEV_THREAD_ID;
  } else {
    line.expect("pid.");
  }
  timer.pid = line.signed_dec32();
}

}  // namespace

std::vector<PosixTimer> parse_timers(std::string_view text) {
  std::vector<PosixTimer> timers;
  while (const auto text_line = next_line(text)) {
    Scanner line("/proc/PID/timers", *text_line);
    if (line.accept("ID: ")) {
      timers.emplace_back().id = line.signed_dec32();
      continue;
    }
    if (timers.empty()) line.fail("an ID should come first");
    PosixTimer& timer = timers.back();
    if (line.accept("signal: ")) {
      timer.signo = line.signed_dec32();
      line.expect("/").accept("0x");
      timer.sigval = line.hex();
    } else if (line.accept("notify: ")) {
      notify(timer, line);
    } else if (line.accept("ClockID: ")) {
      timer.clock_id = line.signed_dec32();
    }
  }
  return timers;
}

}  // namespace crx::proc
