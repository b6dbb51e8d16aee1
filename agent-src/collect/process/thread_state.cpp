// Small properties of every thread: name, robust futex list, restartable sequences, parent-death signal, timer slack.
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <string>

#include "agent-src/collect/kind/registry.hpp"
#include "common/base/error.hpp"

namespace crx {
namespace {

// Turns bytes into the valid UTF-8 that CRIU's text fields need. The exact bytes are in crx-task.
std::string as_text(const std::string& bytes) {
  std::string text;
  for (const char c : bytes) text += static_cast<signed char>(c) > 0 ? c : '?';
  return text;
}

class ThreadState final : public Collector {
 public:
  const char* name() const override { return "threads"; }

  void plan(CollectContext& context, BatchPlan& plan) override {
    slacks_.clear();
    death_signals_ = context.task.arena().allocate<uint64_t>(plan.threads.size());
    for (RemoteBatch& thread : plan.threads) {
      const auto at = death_signals_.at(slacks_.size());
      thread.add("reading the parent-death signal", SYS_prctl, PR_GET_PDEATHSIG, at);
      slacks_.push_back(thread.add("reading the timer slack", SYS_prctl, PR_GET_TIMERSLACK));
    }
  }

  void collect(CollectContext& context, const BatchPlan& plan) override {
    for (std::size_t i = 0; i < context.cores.size(); ++i) {
      const FrozenThread& thread = context.task.threads()[i];
      img::thread_core_entry& core = *context.core(i).mutable_thread_core();
      img::crx_thread_entry& extra = context.extra_thread(i);
      fill_robust_list(thread.tid(), core);
      const std::string& comm = context.statuses[i].name;
      core.set_comm(as_text(comm));
      extra.set_comm(comm);
      const auto death_signal = static_cast<uint32_t>(death_signals_.local[i]);
      core.set_pdeath_sig(death_signal);
      extra.set_pdeathsig(death_signal);
      extra.set_timer_slack_ns(static_cast<uint64_t>(plan.threads[i].checked(slacks_[i])));
      if (thread.rseq.rseq_abi_pointer != 0) {
        img::rseq_entry& rseq = *core.mutable_rseq_entry();
        rseq.set_rseq_abi_pointer(thread.rseq.rseq_abi_pointer);
        rseq.set_rseq_abi_size(thread.rseq.rseq_abi_size);
        rseq.set_signature(thread.rseq.signature);
      }
    }
    context.core().mutable_tc()->set_comm(as_text(context.statuses[0].name));
    context.extra.set_comm(context.statuses[0].name);
  }

 private:
  static void fill_robust_list(pid_t tid, img::thread_core_entry& core) {
    uint64_t head = 0;
    uint64_t bytes = 0;
    if (::syscall(SYS_get_robust_list, tid, &head, &bytes) < 0) {
      throw_errno("reading the robust futex list", "thread " + std::to_string(tid));
    }
    core.set_futex_rla(head);
    core.set_futex_rla_len(static_cast<uint32_t>(bytes));
  }

  ArenaPiece<uint64_t> death_signals_;  // the kernel stores an int
  std::vector<std::size_t> slacks_;
};

}  // namespace

CollectorPtr make_thread_state_collector() {
  return std::make_unique<ThreadState>();
}

}  // namespace crx
