// A signal frame that returns a thread to its previous state. rt_sigreturn(2) is the kernel's way to load all registers
// at once.
#pragma once

#include <sys/user.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "common/remote/traced_thread.hpp"

namespace crx {

// The registers with which a thread continues after an interrupted system call, computed as the kernel does
// (arch/x86/kernel/signal.c), for code that continues without the kernel's own restart: the call is made again, or
// restart_syscall(2) is called.
user_regs_struct resumed_regs(const user_regs_struct& stopped);

// struct rt_sigframe with its xstate, in the kernel's format (arch/x86/include/asm/sigframe.h, uapi/asm/sigcontext.h),
// to be written at addr() in the thread's memory: below its red zone, where the kernel itself would put a frame. When
// rsp is addr(), a `ret` jumps to sigreturn_addr, where rt_sigreturn(2) loads the thread's registers, xstate and signal
// mask. This loses the restart block, so a sleep starts again with its full duration.
class HealingFrame {
 public:
  // The thread is stopped. regs and sigmask: the registers and signal mask that the frame restores.
  HealingFrame(const TracedThread& thread, const user_regs_struct& regs, uint64_t sigmask, uint64_t sigreturn_addr);

  uint64_t addr() const noexcept { return addr_; }
  const std::vector<std::byte>& bytes() const noexcept { return bytes_; }

 private:
  uint64_t addr_ = 0;
  std::vector<std::byte> bytes_;
};

}  // namespace crx
