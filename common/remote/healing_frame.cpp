#include "common/remote/healing_frame.hpp"

#include <cpuid.h>
#include <sys/syscall.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace crx {
namespace {

constexpr uint64_t kRedZone = 128;
constexpr uint64_t kSyscallInstructionBytes = 2;

// The kernel's structures of a 64-bit signal frame, field by field.
struct SigContext {
  uint64_t r8, r9, r10, r11, r12, r13, r14, r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, eflags;
  uint16_t cs, gs, fs, ss;
  uint64_t err, trapno, oldmask, cr2, fpstate, reserved[8];
};
struct SignalFrame {
  uint64_t return_addr;
  uint64_t uc_flags, uc_link;
  uint64_t stack_sp;
  uint32_t stack_flags, stack_padding;
  uint64_t stack_size;
  SigContext context;
  uint64_t sigmask;
  std::byte siginfo[128];
};
static_assert(sizeof(SigContext) == 256 && sizeof(SignalFrame) == 8 + 304 + 128);

constexpr uint64_t kFlags = 0x1 | 0x2 | 0x4;  // UC_FP_XSTATE, UC_SIGCONTEXT_SS, UC_STRICT_RESTORE_SS
// An invalid flag of sigaltstack(2): rt_sigreturn(2) then leaves the thread's alternate stack unchanged.
constexpr uint32_t kNoSuchStack = 0x40;

// struct _fpx_sw_bytes, which lies in the last bytes of the legacy area.
struct XstateNote {
  uint32_t magic, extended_size;
  uint64_t xfeatures;
  uint32_t xstate_size, padding[7];
};
static_assert(sizeof(XstateNote) == 48);
constexpr std::size_t kNoteAt = 464, kHeaderAt = 512, kHeaderBytes = 64;
constexpr uint32_t kMagic1 = 0x46505853, kMagic2 = 0x46505845;
constexpr uint64_t kTileFeatures = uint64_t{3} << 17;  // AMX state; only the frames of threads that use it contain it

constexpr unsigned kFeatures = 63;

// The end of each feature of XCR0 in the standard format (CPUID leaf 0xd). In a virtual machine each CPUID takes
// microseconds; the answers are the same for all threads, so they are kept.
const std::array<std::size_t, kFeatures>& feature_ends(uint64_t xcr0) {
  static const std::array<std::size_t, kFeatures> ends = [xcr0] {
    std::array<std::size_t, kFeatures> found{};
    for (unsigned feature = 2; feature < kFeatures; ++feature) {
      unsigned size = 0, offset = 0, ecx = 0, edx = 0;
      if ((xcr0 >> feature & 1) == 0 || __get_cpuid_count(0xd, feature, &size, &offset, &ecx, &edx) == 0) continue;
      found.at(feature) = std::size_t{offset} + size;
    }
    return found;
  }();
  return ends;
}

// The size in bytes of the standard format with these features.
std::size_t xstate_bytes(uint64_t xcr0, uint64_t features) {
  std::size_t bytes = kHeaderAt + kHeaderBytes;
  for (unsigned feature = 2; feature < kFeatures; ++feature) {
    if ((features >> feature & 1) != 0) bytes = std::max(bytes, feature_ends(xcr0).at(feature));
  }
  return bytes;
}

template <typename T>
T read_at(const std::vector<std::byte>& bytes, std::size_t at) {
  T value{};
  if (bytes.size() >= at + sizeof value) std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

SigContext context_of(const user_regs_struct& r) {
  SigContext c{};
  c.r8 = r.r8, c.r9 = r.r9, c.r10 = r.r10, c.r11 = r.r11, c.r12 = r.r12, c.r13 = r.r13, c.r14 = r.r14, c.r15 = r.r15;
  c.rdi = r.rdi, c.rsi = r.rsi, c.rbp = r.rbp, c.rbx = r.rbx, c.rdx = r.rdx, c.rax = r.rax, c.rcx = r.rcx;
  c.rsp = r.rsp, c.rip = r.rip, c.eflags = r.eflags;
  c.cs = static_cast<uint16_t>(r.cs);
  c.ss = static_cast<uint16_t>(r.ss);
  return c;
}

}  // namespace

user_regs_struct resumed_regs(const user_regs_struct& stopped) {
  user_regs_struct r = stopped;
  if (static_cast<int64_t>(r.orig_rax) < 0) return r;
  switch (static_cast<int64_t>(r.rax)) {
    case -512:
    case -513:
    case -514:  // ERESTARTSYS, ERESTARTNOINTR, ERESTARTNOHAND
      r.rax = r.orig_rax;
      r.rip -= kSyscallInstructionBytes;
      break;
    case -516:  // ERESTART_RESTARTBLOCK
      r.rax = SYS_restart_syscall;
      r.rip -= kSyscallInstructionBytes;
      break;
    default:
      break;
  }
  return r;
}

HealingFrame::HealingFrame(const TracedThread& thread, const user_regs_struct& regs, uint64_t sigmask,
                           uint64_t sigreturn_addr) {
  const std::vector<std::byte> xstate = thread.xstate();
  const uint64_t in_use = read_at<uint64_t>(xstate, kHeaderAt);
  const auto xcr0 = read_at<uint64_t>(xstate, kNoteAt);
  uint64_t features = xcr0;
  if ((in_use & kTileFeatures) == 0) features &= ~kTileFeatures;
  const std::size_t xstate_size = std::min(xstate_bytes(xcr0, features), xstate.size());

  const uint64_t xstate_addr = (regs.rsp - kRedZone - xstate_size - sizeof kMagic2) & ~uint64_t{63};
  addr_ = (xstate_addr - sizeof(SignalFrame)) & ~uint64_t{15};
  bytes_.resize(xstate_addr - addr_ + xstate_size + sizeof kMagic2);

  user_regs_struct back = resumed_regs(regs);
  // rt_sigreturn(2) drops the restart block, so a sleep that had one can only be restarted as a whole.
  if (static_cast<int64_t>(regs.rax) == -516 && static_cast<int64_t>(regs.orig_rax) >= 0) back.rax = regs.orig_rax;
  SignalFrame frame{};
  frame.return_addr = sigreturn_addr;
  frame.uc_flags = kFlags;
  frame.stack_flags = kNoSuchStack;
  frame.context = context_of(back);
  frame.context.fpstate = xstate_addr;
  frame.sigmask = sigmask;
  std::memcpy(bytes_.data(), &frame, sizeof frame);

  std::byte* const area = bytes_.data() + (xstate_addr - addr_);
  const auto total = static_cast<uint32_t>(xstate_size);
  const XstateNote note{kMagic1, total + static_cast<uint32_t>(sizeof kMagic2), features, total, {}};
  std::memcpy(area, xstate.data(), xstate_size);
  std::memcpy(area + kNoteAt, &note, sizeof note);
  std::memcpy(area + xstate_size, &kMagic2, sizeof kMagic2);
}

}  // namespace crx
