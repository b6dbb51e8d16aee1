// Registers of every thread: general, segment bases, and the extended state, both exactly (crx-task) and in CRIU's form
// (core).
#include <sys/socket.h>
#include <sys/syscall.h>

#include <cstring>
#include <vector>

#include "agent-src/collect/kind/registry.hpp"
#include "common/base/clock.hpp"
#include "common/base/error.hpp"
#include "common/kernel/process/pidfd.hpp"
#include "common/kernel/process/prctl_uapi.hpp"
#include "common/kernel/process/restart_codes.hpp"
#include "common/kernel/process/time_namespace.hpp"
#include "common/kernel/process/xstate.hpp"

namespace crx {
namespace {

constexpr int64_t kInterrupted = -4;  // -EINTR
constexpr uint64_t kSyscallInstructionBytes = 2;

void fill_general(const user_regs_struct& r, img::user_x86_regs_entry& regs) {
  regs.set_r15(r.r15);
  regs.set_r14(r.r14);
  regs.set_r13(r.r13);
  regs.set_r12(r.r12);
  regs.set_bp(r.rbp);
  regs.set_bx(r.rbx);
  regs.set_r11(r.r11);
  regs.set_r10(r.r10);
  regs.set_r9(r.r9);
  regs.set_r8(r.r8);
  regs.set_ax(r.rax);
  regs.set_cx(r.rcx);
  regs.set_dx(r.rdx);
  regs.set_si(r.rsi);
  regs.set_di(r.rdi);
  regs.set_orig_ax(r.orig_rax);
  regs.set_ip(r.rip);
  regs.set_cs(r.cs);
  regs.set_flags(r.eflags);
  regs.set_sp(r.rsp);
  regs.set_ss(r.ss);
  regs.set_fs_base(r.fs_base);
  regs.set_gs_base(r.gs_base);
  regs.set_ds(r.ds);
  regs.set_es(r.es);
  regs.set_fs(r.fs);
  regs.set_gs(r.gs);
  regs.set_mode(img::NATIVE);
}

bool is_restart(int64_t ax) {
  return (ax <= -512 && ax >= -514) || ax == kRestartBlock;
}

// Whether connect(2) succeeded while the thread was being stopped, so that there is nothing left to wait for. This
// kernel's socket knows that the program has not been told yet; at the destination the repeated call would return
// EISCONN.
bool has_connected(const FrozenTask& task, const SystemCall& call) {
  if (call.nr != SYS_connect) return false;
  const Fd socket = try_get_fd(task.pidfd(), static_cast<int>(call.args[0]));
  sockaddr_storage peer{};
  socklen_t length = sizeof peer;
  return socket && ::getpeername(socket.get(), reinterpret_cast<sockaddr*>(&peer), &length) == 0 &&
         (peer.ss_family == AF_INET || peer.ss_family == AF_INET6);
}

// Records the interrupted system call of a thread. The core image says, as CRIU's do, that the thread makes the call
// again, or gets -EINTR if only the kernel knows the remaining time. The exact call goes into crx_restart.
void fill_restart(const FrozenTask& task, const FrozenThread& thread, const TimeOffsets& offsets,
                  img::user_x86_regs_entry& regs, img::crx_thread_entry& extra) {
  if (thread.again && has_connected(task, *thread.again)) {
    regs.set_ax(0);
    regs.set_ip(regs.ip() + kSyscallInstructionBytes);
    return;
  }
  const auto ax = static_cast<int64_t>(thread.regs.rax);
  if (static_cast<int64_t>(thread.regs.orig_rax) < 0 || !is_restart(ax)) return;
  SystemCall call = call_of(thread.regs);
  if (has_connected(task, call)) {
    regs.set_ax(0);
    regs.set_orig_ax(~0ULL);
    return;
  }
  if (ax == kRestartBlock && thread.sleep) call = thread.sleep->call;
  img::crx_restart& restart = *extra.mutable_restart();
  restart.set_nr(call.nr);
  restart.set_ax(thread.regs.rax);
  for (const uint64_t argument : call.args) restart.add_args(argument);
  if (ax != kRestartBlock) {
    regs.set_ax(thread.regs.orig_rax);
    regs.set_ip(thread.regs.rip - kSyscallInstructionBytes);
    return;
  }
  regs.set_ax(static_cast<uint64_t>(kInterrupted));
  restart.set_remainder_addr(remainder_addr(call));
  if (!thread.sleep || thread.sleep->due_ns == 0) return;
  restart.set_clock_id(CLOCK_MONOTONIC);
  restart.set_deadline_ns(thread.sleep->due_ns + offsets.monotonic_ns);
  restart.set_remaining_ns(thread.sleep->due_ns - (clock_ns(CLOCK_MONOTONIC) - time_offsets(0).monotonic_ns));
}

template <typename T>
T at(std::span<const std::byte> area, std::size_t offset) {
  T value{};
  std::memcpy(&value, area.data() + offset, sizeof value);
  return value;
}

// Appends bytes as words of the field's element type.
template <typename Word, typename Field>
void add_words(std::span<const std::byte> bytes, Field& field) {
  for (std::size_t offset = 0; offset + sizeof(Word) <= bytes.size(); offset += sizeof(Word)) {
    field.Add(at<Word>(bytes, offset));
  }
}

void fill_extended(std::span<const std::byte> area, img::user_x86_fpregs_entry& fp) {
  fp.set_cwd(at<uint16_t>(area, 0));
  fp.set_swd(at<uint16_t>(area, 2));
  fp.set_twd(at<uint16_t>(area, 4));
  fp.set_fop(at<uint16_t>(area, 6));
  fp.set_rip(at<uint64_t>(area, 8));
  fp.set_rdp(at<uint64_t>(area, 16));
  fp.set_mxcsr(at<uint32_t>(area, 24));
  fp.set_mxcsr_mask(at<uint32_t>(area, 28));
  add_words<uint32_t>(area.subspan(32, 128), *fp.mutable_st_space());
  add_words<uint32_t>(area.subspan(160, 256), *fp.mutable_xmm_space());
  add_words<uint32_t>(area.subspan(416, 96), *fp.mutable_padding());
  if (area.size() < xstate::kFirstComponent) return;
  img::user_x86_xsave_entry& xsave = *fp.mutable_xsave();
  xsave.set_xstate_bv(xstate::word_at(area, xstate::kHeaderOffset));
  add_words<uint32_t>(xstate::component(area, xstate::kAvx), *xsave.mutable_ymmh_space());
  add_words<uint64_t>(xstate::component(area, xstate::kBndRegs), *xsave.mutable_bndreg_state());
  add_words<uint64_t>(xstate::component(area, xstate::kBndCsr), *xsave.mutable_bndcsr_state());
  add_words<uint64_t>(xstate::component(area, xstate::kOpmask), *xsave.mutable_opmask_reg());
  add_words<uint64_t>(xstate::component(area, xstate::kZmmHi256), *xsave.mutable_zmm_upper());
  add_words<uint64_t>(xstate::component(area, xstate::kHi16Zmm), *xsave.mutable_hi16_zmm());
  add_words<uint32_t>(xstate::component(area, xstate::kPkru), *xsave.mutable_pkru());
}

class CoreRegisters final : public Collector {
 public:
  const char* name() const override { return "registers"; }

  // Asks the CPU for the layout of its extended state now: under a hypervisor CPUID takes too long for the stop.
  void inspect(InspectContext&) override { static_cast<void>(xstate::place_of(xstate::kAvx)); }

  // Reads extended state before the thread enters the stub, since it can be read only in a ptrace stop.
  void plan(CollectContext& context, BatchPlan& plan) override {
    tid_addresses_ = context.task.arena().allocate<uint64_t>(plan.threads.size());
    for (std::size_t i = 0; i < plan.threads.size(); ++i) {
      const std::vector<std::byte> area = context.stopped_thread(i).xstate();
      if (area.size() < xstate::kLegacyBytes) {
        throw Error(ErrorCode::unsupported, "reading registers", "the CPU's extended state is too small");
      }
      fill_extended(area, *context.core(i).mutable_thread_info()->mutable_fpregs());
      img::crx_thread_entry& extra = context.extra_thread(i);
      extra.set_xstate(area.data(), area.size());
      extra.set_xfeatures(xstate::word_at(area, xstate::kFeaturesOffset));
      plan.threads[i].add("reading the tid address", SYS_prctl, uapi::kGetTidAddress, tid_addresses_.at(i));
    }
  }

  void collect(CollectContext& context, const BatchPlan&) override {
    const TimeOffsets offsets = time_offsets(context.task.pid());
    for (std::size_t i = 0; i < context.cores.size(); ++i) {
      img::thread_info_x86& info = *context.core(i).mutable_thread_info();
      fill_general(context.task.threads()[i].regs, *info.mutable_gpregs());
      fill_restart(context.task, context.task.threads()[i], offsets, *info.mutable_gpregs(), context.extra_thread(i));
      info.set_clear_tid_addr(tid_addresses_.local[i]);
    }
  }

 private:
  ArenaPiece<uint64_t> tid_addresses_;
};

}  // namespace

CollectorPtr make_core_registers_collector() {
  return std::make_unique<CoreRegisters>();
}

}  // namespace crx
