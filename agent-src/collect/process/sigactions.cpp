// Signal actions of the process (rt_sigaction(2)); all threads share them.
#include <signal.h>
#include <sys/syscall.h>

#include "agent-src/collect/kind/registry.hpp"
#include "common/kernel/process/kernel_sigaction.hpp"

namespace crx {
namespace {

class Sigactions final : public Collector {
 public:
  const char* name() const override { return "signal actions"; }

  void plan(CollectContext& context, BatchPlan& plan) override {
    actions_ = context.task.arena().allocate<KernelSigaction>(kSignals + 1);
    for (int signal = 1; signal <= kSignals; ++signal) {
      if (signal == SIGKILL || signal == SIGSTOP) continue;
      const auto at = actions_.at(static_cast<unsigned>(signal));
      plan.leader.add("reading a signal action", SYS_rt_sigaction, signal, 0, at, kSigsetBytes);
    }
  }

  void collect(CollectContext& context, const BatchPlan&) override {
    for (int signal = 1; signal <= kSignals; ++signal) {
      if (signal == SIGKILL || signal == SIGSTOP) continue;
      const KernelSigaction& action = actions_.local[signal];
      img::sa_entry& entry = *context.core().mutable_tc()->add_sigactions();
      entry.set_sigaction(action.handler);
      entry.set_flags(action.flags);
      entry.set_restorer(action.restorer);
      entry.set_mask(action.mask);
    }
  }

 private:
  ArenaPiece<KernelSigaction> actions_;
};

}  // namespace

CollectorPtr make_sigactions_collector() {
  return std::make_unique<Sigactions>();
}

}  // namespace crx
