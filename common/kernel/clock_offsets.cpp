#include "common/kernel/clock_offsets.hpp"

#include <fcntl.h>
#include <time.h>

#include <string>

#include "common/base/fd.hpp"
#include "common/proc/text.hpp"

namespace crx {

int64_t ClockOffsets::of(int clock_id) const {
  switch (clock_id) {
    case CLOCK_MONOTONIC:
    case CLOCK_MONOTONIC_RAW:
    case CLOCK_MONOTONIC_COARSE: return monotonic_ns;
    case CLOCK_BOOTTIME:
    case CLOCK_BOOTTIME_ALARM: return boottime_ns;
    default: return 0;
  }
}

// "monotonic           0         0\nboottime            0         0\n"
ClockOffsets clock_offsets(pid_t pid) {
  ClockOffsets offsets;
  const std::string path = "/proc/" + (pid == 0 ? std::string("self") : std::to_string(pid)) + "/timens_offsets";
  const Fd file = try_open(path, O_RDONLY);
  if (!file) return offsets;
  const std::string text = read_fd(file.get(), path);
  std::string_view left = text;
  while (const auto row = proc::next_line(left)) {
    proc::Scanner line(path, *row);
    const std::string_view clock = line.word();
    const int64_t seconds = line.blanks().signed_dec();
    const int64_t ns = seconds * 1'000'000'000 + line.blanks().signed_dec();
    if (clock == "monotonic") offsets.monotonic_ns = ns;
    if (clock == "boottime") offsets.boottime_ns = ns;
  }
  return offsets;
}

int64_t clock_difference(pid_t pid, int clock_id) { return clock_offsets(pid).of(clock_id) - clock_offsets(0).of(clock_id); }

}  // namespace crx
