// A signal frame that brings a thread back to where it was: the kernel's own means to load every register at once.
#pragma once

#include <sys/user.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "common/remote/traced_thread.hpp"

namespace crx {

// What the thread does next where a system call was interrupted, as the kernel would have it
// (arch/x86/kernel/signal.c), for code that goes on without the kernel's restart: the call once more, or
// restart_syscall(2).
user_regs_struct resumed_regs(const user_regs_struct& stopped);

// struct rt_sigframe with its xstate, as the kernel writes them (arch/x86/include/asm/sigframe.h,
// uapi/asm/sigcontext.h), to lie at addr() of the thread: below its red zone, where the kernel itself would put one.
// With rsp = addr(), a `ret` goes to sigreturn_addr, whose rt_sigreturn(2) loads the thread's registers, xstate and
// mask. The restart block is lost by that: a sleep begins anew.
class HealingFrame {
 public:
  // The thread is stopped, with the registers and mask that it shall have again.
  HealingFrame(const TracedThread& thread, const user_regs_struct& regs, uint64_t sigmask, uint64_t sigreturn_addr);

  uint64_t addr() const noexcept { return addr_; }
  const std::vector<std::byte>& bytes() const noexcept { return bytes_; }

 private:
  uint64_t addr_ = 0;
  std::vector<std::byte> bytes_;
};

}  // namespace crx
