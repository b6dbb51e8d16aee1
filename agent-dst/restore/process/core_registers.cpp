// load_registers(): general registers, extended state and signal masks, as the collector of this name has written them.
#include <linux/elf.h>
#include <linux/futex.h>
#include <sys/syscall.h>

#include <cstring>
#include <string>

#include "agent-dst/restore/process/load_registers.hpp"
#include "agent-dst/restore/process/sleeping_calls.hpp"
#include "common/base/error.hpp"
#include "common/kernel/process/restart_codes.hpp"
#include "common/kernel/process/xstate.hpp"

namespace crx {
namespace {

constexpr int64_t kInterrupted = -4;
constexpr uint64_t kSyscallInstructionBytes = 2;

user_regs_struct general_of(const img::user_x86_regs_entry& regs) {
  user_regs_struct r{};
  r.r15 = regs.r15();
  r.r14 = regs.r14();
  r.r13 = regs.r13();
  r.r12 = regs.r12();
  r.rbp = regs.bp();
  r.rbx = regs.bx();
  r.r11 = regs.r11();
  r.r10 = regs.r10();
  r.r9 = regs.r9();
  r.r8 = regs.r8();
  r.rax = regs.ax();
  r.rcx = regs.cx();
  r.rdx = regs.dx();
  r.rsi = regs.si();
  r.rdi = regs.di();
  r.orig_rax = regs.orig_ax();
  r.rip = regs.ip();
  r.cs = regs.cs();
  r.eflags = regs.flags();
  r.rsp = regs.sp();
  r.ss = regs.ss();
  r.fs_base = regs.fs_base();
  r.gs_base = regs.gs_base();
  r.ds = regs.ds();
  r.es = regs.es();
  r.fs = regs.fs();
  r.gs = regs.gs();
  return r;
}

// Whether the call has no duration to be restored: a futex wait until a point in time, or a poll without a limit.
bool has_no_duration(const img::crx_restart& restart) {
  if (restart.args_size() < 3) return false;
  if (restart.nr() == SYS_poll) return static_cast<int32_t>(restart.args(2)) < 0;
  return restart.nr() == SYS_futex && (static_cast<int>(restart.args(1)) & FUTEX_CMD_MASK) != FUTEX_WAIT;
}

// Lets a thread go on with its interrupted system call. An image made for CRIU says only that the call is made again;
// crx_restart has the call itself. With the latter the kernel decides, so that a signal queued meanwhile interrupts the
// call as it should.
void continue_syscall(const img::crx_thread_entry& extra, const SleepOutcome& sleep, user_regs_struct& r) {
  if (sleep.slept) {
    r.rax = sleep.ax;
    r.orig_rax = sleep.orig_ax;
    return;
  }
  if (extra.has_restart() && extra.restart().has_nr()) {
    const auto ax = static_cast<int64_t>(extra.restart().ax());
    r.orig_rax = static_cast<uint64_t>(extra.restart().nr());
    r.rax = extra.restart().ax();
    if (ax != kRestartBlock) {
      r.rip += kSyscallInstructionBytes;
    } else if (has_no_duration(extra.restart())) {
      // made again with its original arguments, the call ends when it should
      r.rax = static_cast<uint64_t>(kRestartNoHand);
    } else {
      r.rax = static_cast<uint64_t>(kInterrupted);  // the remaining time is unknown
      r.orig_rax = kNoSyscall;
    }
    return;
  }
  const auto ax = static_cast<int64_t>(r.rax);
  if (static_cast<int64_t>(r.orig_rax) >= 0 && (ax == kRestartSys || ax == kRestartNoIntr || ax == kRestartNoHand)) {
    r.rax = r.orig_rax;
    r.rip -= kSyscallInstructionBytes;
  }
  r.orig_rax = kNoSyscall;
}

template <typename T>
void put(std::vector<std::byte>& area, std::size_t offset, T value) {
  std::memcpy(area.data() + offset, &value, sizeof value);
}

template <typename Field>
void put_words(std::vector<std::byte>& area, std::size_t offset, std::size_t bytes, const Field& words) {
  for (const auto word : words) {
    if (bytes < sizeof word) return;
    std::memcpy(area.data() + offset, &word, sizeof word);
    offset += sizeof word;
    bytes -= sizeof word;
  }
}

// Writes a component that the image has; refuses one that this CPU lacks.
template <typename Field>
void put_component(std::vector<std::byte>& area, uint64_t& present, unsigned number, const Field& words) {
  if (words.size() == 0 || (present & xstate::bit(number)) == 0) {
    present &= ~xstate::bit(number);
    return;
  }
  const xstate::Place place = xstate::place_of(number);
  if (place.bytes == 0 || place.offset + place.bytes > area.size()) {
    throw Error(ErrorCode::unsupported, "setting registers",
                "the thread uses vector registers that this CPU lacks (state component " + std::to_string(number) + ")")
        .with_hint("move it to a host with the same CPU features");
  }
  put_words(area, place.offset, place.bytes, words);
}

// Builds the extended state from CRIU's fields in `area`, which has the layout of this CPU.
void build_extended(const img::user_x86_fpregs_entry& fp, std::vector<std::byte>& area) {
  put(area, 0, static_cast<uint16_t>(fp.cwd()));
  put(area, 2, static_cast<uint16_t>(fp.swd()));
  put(area, 4, static_cast<uint16_t>(fp.twd()));
  put(area, 6, static_cast<uint16_t>(fp.fop()));
  put(area, 8, fp.rip());
  put(area, 16, fp.rdp());
  put(area, 24, fp.mxcsr());
  put_words(area, 32, 128, fp.st_space());
  put_words(area, 160, 256, fp.xmm_space());
  if (area.size() < xstate::kFirstComponent) return;
  uint64_t present = xstate::bit(xstate::kX87) | xstate::bit(xstate::kSse);
  if (fp.has_xsave()) {
    const img::user_x86_xsave_entry& xsave = fp.xsave();
    present = xsave.xstate_bv() | xstate::bit(xstate::kX87) | xstate::bit(xstate::kSse);
    put_component(area, present, xstate::kAvx, xsave.ymmh_space());
    put_component(area, present, xstate::kBndRegs, xsave.bndreg_state());
    put_component(area, present, xstate::kBndCsr, xsave.bndcsr_state());
    put_component(area, present, xstate::kOpmask, xsave.opmask_reg());
    put_component(area, present, xstate::kZmmHi256, xsave.zmm_upper());
    put_component(area, present, xstate::kHi16Zmm, xsave.hi16_zmm());
    put_component(area, present, xstate::kPkru, xsave.pkru());
  }
  xstate::set_word_at(area, xstate::kHeaderOffset, present);
  xstate::set_word_at(area, xstate::kHeaderOffset + 8, 0);
}

// Loads the exact bytes if they were read on a CPU with the same layout, otherwise CRIU's fields.
void load_extended(TracedThread& thread, const img::core_entry& core, const img::crx_thread_entry& extra) {
  std::vector<std::byte> area = thread.xstate();
  if (area.size() < xstate::kLegacyBytes) {
    throw Error(ErrorCode::unsupported, "setting registers", "the CPU's extended state is too small");
  }
  const uint64_t features = xstate::word_at(area, xstate::kFeaturesOffset);
  if (extra.xstate().size() == area.size() && extra.xfeatures() == features) {
    std::memcpy(area.data(), extra.xstate().data(), area.size());
  } else {
    if (extra.xstate().size() >= xstate::kFirstComponent) {
      const auto saved = std::as_bytes(std::span(extra.xstate()));
      const uint64_t missing = xstate::word_at(saved, xstate::kHeaderOffset) & ~features;
      if (missing != 0) {
        throw Error(
            ErrorCode::unsupported, "setting registers",
            "the thread uses vector registers that this CPU lacks (state components " + std::to_string(missing) + ")")
            .with_hint("move it to a host with the same CPU features");
      }
    }
    build_extended(core.thread_info().fpregs(), area);
  }
  thread.set_xstate(area);
}

uint64_t mask_of(const img::core_entry& core) {
  if (core.thread_core().has_blk_sigset()) return core.thread_core().blk_sigset();
  return core.tc().blk_sigset();
}

}  // namespace

void load_registers(Vessel& vessel, const std::vector<img::core_entry>& cores, const img::crx_task_entry& extra) {
  if (static_cast<std::size_t>(extra.threads_size()) != cores.size()) {
    throw Error(ErrorCode::bug, "setting registers", "there are more threads than images, or fewer");
  }
  for (std::size_t i = 0; i < cores.size(); ++i) {
    vessel.process().traced(i).set_blocked_signals(~0ULL);
    load_extended(vessel.process().traced(i), cores[i], extra.threads(static_cast<int>(i)));
    vessel.process().traced(i).set_regs(general_of(cores[i].thread_info().gpregs()));
  }
  const std::vector<SleepOutcome> sleeps = begin_sleeps(vessel, extra);
  for (std::size_t i = 0; i < cores.size(); ++i) {
    const img::crx_thread_entry& thread_extra = extra.threads(static_cast<int>(i));
    TracedThread& thread = vessel.process().traced(i);
    if (thread_extra.has_syscall_dispatch()) {
      const img::crx_syscall_dispatch& dispatch = thread_extra.syscall_dispatch();
      thread.set_user_dispatch({dispatch.mode(), dispatch.selector(), dispatch.offset(), dispatch.len()});
    }
    thread.set_blocked_signals(mask_of(cores[i]));
    user_regs_struct regs = general_of(cores[i].thread_info().gpregs());
    continue_syscall(thread_extra, sleeps[i], regs);
    thread.set_regs(regs);
  }
}

}  // namespace crx
