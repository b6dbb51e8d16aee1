// Parses /proc/PID/limits (proc_pid_limits(5)). It is readable even where prlimit(2) on another user's process is not
// permitted.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace crx::proc {

struct Limit {
  uint64_t soft = UINT64_MAX;  // UINT64_MAX is unlimited (RLIM_INFINITY)
  uint64_t hard = UINT64_MAX;
  bool operator==(const Limit&) const = default;
};

// Indexed by resource number, RLIMIT_CPU to RLIMIT_RTTIME. Throws Error(kernel) unless all 16 are present.
std::array<Limit, 16> parse_limits(std::string_view text);

}  // namespace crx::proc
