// The values that the kernel leaves in a stopped thread's registers when a signal interrupted its system call
// (linux/errno.h and arch/x86/kernel/signal.c of the kernel).
#pragma once

#include <cstdint>

namespace crx {

// Negative error numbers in the result register that never reach user space.
inline constexpr int64_t kRestartSys = -512, kRestartNoIntr = -513, kRestartNoHand = -514, kRestartBlock = -516;
// orig_rax of a thread that is in no system call: the kernel changes no register when the thread goes on.
inline constexpr uint64_t kNoSyscall = ~0ULL;

}  // namespace crx
