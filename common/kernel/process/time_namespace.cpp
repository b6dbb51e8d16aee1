#include "common/kernel/process/time_namespace.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>

#include "common/base/clock.hpp"
#include "common/base/error.hpp"
#include "common/base/fd.hpp"

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

namespace crx {
namespace {

constexpr int64_t kSecond = 1'000'000'000;

int64_t offset_in(const std::string& text, const char* clock) {
  const auto at = text.find(clock);
  long long seconds = 0;
  long nanoseconds = 0;
  if (at == std::string::npos ||
      std::sscanf(text.c_str() + at + std::strlen(clock), "%lld %ld", &seconds, &nanoseconds) != 2) {
    return 0;
  }
  return int64_t{seconds} * kSecond + nanoseconds;
}

// The kernel requires 0 <= nanoseconds < 10^9.
std::string offset_line(const char* clock, int64_t ns) {
  int64_t seconds = ns / kSecond, rest = ns % kSecond;
  if (rest < 0) {
    rest += kSecond;
    --seconds;
  }
  return fmt::format("{} {} {}\n", clock, seconds, rest);
}

}  // namespace

TimeOffsets time_offsets(pid_t pid) {
  const std::string path = pid == 0 ? "/proc/self/timens_offsets" : fmt::format("/proc/{}/timens_offsets", pid);
  const Fd file = try_open(path, O_RDONLY);
  if (!file) return {};
  const std::string text = read_fd(file.get(), path);
  return {offset_in(text, "monotonic"), offset_in(text, "boottime")};
}

TaskClocks task_clocks(pid_t pid) {
  const TimeOffsets ours = time_offsets(0), its = time_offsets(pid);
  return {clock_ns(CLOCK_MONOTONIC) - ours.monotonic_ns + its.monotonic_ns,
          clock_ns(CLOCK_BOOTTIME) - ours.boottime_ns + its.boottime_ns};
}

void unshare_time(const TimeOffsets& offsets) {
  constexpr const char* kStep = "making a time namespace";
  if (::unshare(CLONE_NEWTIME) < 0) {
    throw Error(ErrorCode::unsupported, kStep, "CLOCK_MONOTONIC could not go on as it was", errno)
        .with_hint("the agent needs CAP_SYS_ADMIN and a kernel with CONFIG_TIME_NS");
  }
  try {
    write_file("/proc/self/timens_offsets",
               offset_line("monotonic", offsets.monotonic_ns) + offset_line("boottime", offsets.boottime_ns));
  } catch (const Error& error) {
    throw Error(ErrorCode::unsupported, kStep, fmt::format("the offset {} ns was refused", offsets.monotonic_ns),
                error.err())
        .with_hint("the agent needs CAP_SYS_TIME");
  }
}

}  // namespace crx
