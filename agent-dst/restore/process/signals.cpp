// Alternate stacks and queued signals. Signals are blocked while threads are in the stub, so that what is queued here
// stays queued until the thread runs; the masks of the images are set last (thread_state.hpp).
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

// Stop signals cannot be blocked (SIGSTOP) or act when they are sent (the others clear SIGCONT): they are left out.
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

  // Every thread queues its own: the kernel lets a task say anything about a signal to itself only, and demands that
  // the thread that queues for the process is its leader.
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
      // SS_ONSTACK is an answer, not a setting.
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
