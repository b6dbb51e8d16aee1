// /proc/PID/task/TID/syscall (proc_pid_syscall(5)): where a thread is blocked.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace crx::proc {

struct BlockedSyscall {
  int64_t nr = -1;  // -1: blocked, but not in a system call
  std::array<uint64_t, 6> args{};
  uint64_t sp = 0;
  uint64_t pc = 0;
};

// Nothing for a thread that runs.
std::optional<BlockedSyscall> parse_syscall(std::string_view text);

}  // namespace crx::proc
