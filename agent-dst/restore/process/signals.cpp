// Alternate stacks and queued signals. All signals are blocked while threads are in the stub, so a signal queued here
// stays queued until the thread runs; the masks of the images are set last (load_registers.hpp).
#include <signal.h>
#include <sys/syscall.h>

#include <cstring>

#include "agent-dst/restore/kind/registry.hpp"
#include "common/base/error.hpp"
#include "common/base/log.hpp"
#include "common/kernel/process/kernel_sigaction.hpp"

#ifndef SS_AUTODISARM
#define SS_AUTODISARM (1U << 31)
#endif

namespace crx {
namespace {

// Stop signals are left out: SIGSTOP cannot be blocked, and sending the others clears a pending SIGCONT.
bool is_queueable(int signal) {
  return signal >= 1 && signal <= kSignals && signal != SIGKILL && signal != SIGSTOP;
}

siginfo_t parse(const img::siginfo_entry& entry) {
  siginfo_t info{};
  if (entry.siginfo().size() > sizeof info) {
    throw Error(ErrorCode::corrupt_image, "restoring queued signals", "a siginfo is too large");
  }
  std::memcpy(&info, entry.siginfo().data(), entry.siginfo().size());
  return info;
}

class Signals final : public Restorer {
 public:
  const char* name() const override { return "signals"; }

  // Every thread queues its own signals: the kernel lets a task choose the siginfo freely only for itself, and the
  // thread that queues signals for the process must be its leader.
  void plan_thread(RestoreContext& context, std::size_t thread, RemoteBatch& batch) override {
    const img::core_entry& core = context.cores[thread];
    RemoteArena& arena = context.vessel.arena();
    plan_stack(core.thread_core(), arena, batch);
    const auto tid =
        thread == 0 ? context.pid : static_cast<pid_t>(context.extra.threads(static_cast<int>(thread)).tid());
    for (const img::siginfo_entry& entry : core.thread_core().signals_p().signals()) {
      const siginfo_t info = parse(entry);
      if (!is_queueable(info.si_signo)) continue;
      batch.add("queueing a signal for a thread", SYS_rt_tgsigqueueinfo, context.pid, tid, info.si_signo,
                arena.put_object(info));
    }
    for (const img::siginfo_entry& entry : core.tc().signals_s().signals()) {
      const siginfo_t info = parse(entry);
      if (!is_queueable(info.si_signo)) continue;
      batch.add("queueing a signal for the process", SYS_rt_sigqueueinfo, context.pid, info.si_signo,
                arena.put_object(info));
    }
  }

 private:
  static void plan_stack(const img::thread_core_entry& core, RemoteArena& arena, RemoteBatch& batch) {
    KernelAltStack stack{};
    stack.flags = SS_DISABLE;
    if (core.has_sas() && (core.sas().ss_flags() & SS_DISABLE) == 0 && core.sas().ss_size() != 0) {
      stack.sp = core.sas().ss_sp();
      stack.size = core.sas().ss_size();
      // SS_ONSTACK is reported by the kernel and cannot be set.
      stack.flags = static_cast<int32_t>(core.sas().ss_flags() & SS_AUTODISARM);
    }
    batch.add("setting the alternate stack", SYS_sigaltstack, arena.put_object(stack), 0);
  }
};

}  // namespace

RestorerPtr make_signals_restorer() {
  return std::make_unique<Signals>();
}

}  // namespace crx
