// Blocked signals, alternate stacks and queued signals.
#include <signal.h>
#include <sys/syscall.h>

#include <vector>

#include "agent-src/collect/kind/registry.hpp"
#include "common/kernel/process/kernel_sigaction.hpp"
#include "common/proc/status.hpp"

namespace crx {
namespace {

// Adds signals that were queued without a siginfo (the queue was full, or the kind is like SIGKILL) and therefore
// appear only in the mask; on delivery the kernel reports SI_USER from process 0.
void add_bare_signals(uint64_t pending, const std::vector<siginfo_t>& queued, std::vector<siginfo_t>& all) {
  for (const siginfo_t& info : queued) pending &= ~signal_bit(info.si_signo);
  for (int signal = 1; signal <= kSignals; ++signal) {
    if ((pending & signal_bit(signal)) == 0) continue;
    siginfo_t info{};
    info.si_signo = signal;
    info.si_code = SI_USER;
    all.push_back(info);
  }
}

void fill_queue(const std::vector<siginfo_t>& queue, img::signal_queue_entry& entry) {
  for (const siginfo_t& info : queue) entry.add_signals()->set_siginfo(&info, sizeof info);
}

class Signals final : public Collector {
 public:
  const char* name() const override { return "signals"; }

  void plan(CollectContext& context, BatchPlan& plan) override {
    stacks_ = context.task.arena().allocate<KernelAltStack>(plan.threads.size());
    for (std::size_t i = 0; i < plan.threads.size(); ++i) {
      plan.threads[i].add("reading the alternate stack", SYS_sigaltstack, 0, stacks_.at(i));
    }
  }

  // Queues are read after the timers (which the batches read): a timer that fires in between is then recognized as
  // fired.
  void collect(CollectContext& context, const BatchPlan&) override {
    const auto now = proc::parse_status(read_file(context.task.proc() + "status"));
    fill_queue(queue_of(context, 0, now.shared_pending, true), *context.core().mutable_tc()->mutable_signals_s());
    for (std::size_t i = 0; i < context.cores.size(); ++i) {
      const uint64_t pending = i == 0 ? now.pending : context.statuses[i].pending;
      fill_queue(queue_of(context, i, pending, false), *context.core(i).mutable_thread_core()->mutable_signals_p());
    }
    for (std::size_t i = 0; i < context.cores.size(); ++i) {
      img::thread_core_entry& core = *context.core(i).mutable_thread_core();
      core.set_blk_sigset(context.task.threads()[i].sigmask);
      const KernelAltStack& stack = stacks_.local[i];
      img::thread_sas_entry& sas = *core.mutable_sas();
      sas.set_ss_sp(stack.sp);
      sas.set_ss_size(stack.size);
      // Whether the thread is on this stack follows from its stack pointer, which the stub does not change.
      sas.set_ss_flags(static_cast<uint32_t>(stack.flags));
    }
  }

 private:
  static std::vector<siginfo_t> queue_of(CollectContext& context, std::size_t thread, uint64_t pending, bool shared) {
    std::vector<siginfo_t> all;
    if (pending == 0) return all;
    const auto queued = context.stopped_thread(thread).pending_signals(shared);
    add_bare_signals(pending, queued, all);
    all.insert(all.end(), queued.begin(), queued.end());
    return all;
  }

  ArenaPiece<KernelAltStack> stacks_;
};

}  // namespace

CollectorPtr make_signals_collector() {
  return std::make_unique<Signals>();
}

}  // namespace crx
