// The signal structures of the kernel's interface; those of glibc differ (arch/x86/include/uapi/asm/signal.h).
#pragma once

#include <cstddef>
#include <cstdint>

namespace crx {

inline constexpr int kSignals = 64;
inline constexpr std::size_t kSigsetBytes = 8;
inline constexpr uint64_t signal_bit(int signal) {
  return uint64_t{1} << (signal - 1);
}

// struct sigaction of rt_sigaction(2).
struct KernelSigaction {
  uint64_t handler;
  uint64_t flags;
  uint64_t restorer;
  uint64_t mask;
};

// stack_t of sigaltstack(2).
struct KernelAltStack {
  uint64_t sp;
  int32_t flags;
  int32_t pad;
  uint64_t size;
};

}  // namespace crx
