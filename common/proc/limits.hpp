// /proc/PID/limits (proc_pid_limits(5)); readable where prlimit(2) on another user's process is not.
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

// By resource number: index RLIMIT_CPU to RLIMIT_RTTIME. Error(kernel) unless all 16 are there.
std::array<Limit, 16> parse_limits(std::string_view text);

}  // namespace crx::proc
