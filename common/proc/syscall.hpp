// Parses /proc/PID/task/TID/syscall (proc_pid_syscall(5)): the system call in which a thread is blocked.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace crx::proc {

struct BlockedSyscall {
  int64_t nr = -1;  // -1: blocked outside of a system call
  std::array<uint64_t, 6> args{};
  uint64_t sp = 0;
  uint64_t pc = 0;
};

// nullopt when the thread was running.
std::optional<BlockedSyscall> parse_syscall(std::string_view text);

}  // namespace crx::proc
