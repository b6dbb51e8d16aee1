// Settings of each thread: memory policy, syscall user dispatch, TSC and CPUID traps, speculation, machine checks, I/O
// flusher.
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <string>
#include <vector>

#include "agent-src/collect/kind/registry.hpp"
#include "common/kernel/process/prctl_uapi.hpp"

namespace crx {
namespace {

constexpr std::size_t kNodeWords = 16;  // 1024 nodes, the kernel's maximum
constexpr uint32_t kPolicyDefault = 0;

struct Answers {
  uint32_t policy;
  uint32_t tsc;
  uint64_t nodes[kNodeWords];
};
struct Calls {
  std::size_t policy, tsc, cpuid, mce, flusher, bypass, branch, l1d;
};

class ThreadFlags final : public Collector {
 public:
  const char* name() const override { return "thread flags"; }

  void plan(CollectContext& context, BatchPlan& plan) override {
    calls_.clear();
    answers_ = context.task.arena().allocate<Answers>(plan.threads.size());
    for (std::size_t i = 0; i < plan.threads.size(); ++i) {
      const SyscallUserDispatch dispatch = context.stopped_thread(i).user_dispatch();
      if (dispatch.mode != 0) {
        img::crx_syscall_dispatch& entry = *context.extra_thread(i).mutable_syscall_dispatch();
        entry.set_mode(dispatch.mode);
        entry.set_offset(dispatch.offset);
        entry.set_len(dispatch.len);
        entry.set_selector(dispatch.selector);
      }
      const RemotePtr<Answers> at = answers_.at(i);
      RemoteBatch& thread = plan.threads[i];
      Calls calls{};
      calls.policy =
          thread.add_optional("reading the memory policy", SYS_get_mempolicy, at.member(offsetof(Answers, policy)),
                              at.member(offsetof(Answers, nodes)), kNodeWords * 64, 0, 0);
      calls.tsc = thread.add_optional("reading the TSC mode", SYS_prctl, PR_GET_TSC, at.member(offsetof(Answers, tsc)));
      calls.cpuid = thread.add_optional("reading the CPUID mode", SYS_arch_prctl, uapi::kArchGetCpuid, 0);
      calls.mce = thread.add_optional("reading the machine check policy", SYS_prctl, PR_MCE_KILL_GET, 0, 0, 0, 0);
      calls.flusher = thread.add_optional("reading the I/O flusher flag", SYS_prctl, uapi::kGetIoFlusher, 0, 0, 0, 0);
      calls.bypass = thread.add_optional("reading speculation control", SYS_prctl, PR_GET_SPECULATION_CTRL,
                                         PR_SPEC_STORE_BYPASS, 0, 0, 0);
      calls.branch = thread.add_optional("reading speculation control", SYS_prctl, PR_GET_SPECULATION_CTRL,
                                         PR_SPEC_INDIRECT_BRANCH, 0, 0, 0);
      calls.l1d = thread.add_optional("reading speculation control", SYS_prctl, PR_GET_SPECULATION_CTRL,
                                      2 /* PR_SPEC_L1D_FLUSH */, 0, 0, 0);
      calls_.push_back(calls);
    }
  }

  void collect(CollectContext& context, const BatchPlan& plan) override {
    for (std::size_t i = 0; i < context.cores.size(); ++i) {
      const RemoteBatch& thread = plan.threads[i];
      const Calls& calls = calls_[i];
      const Answers& answers = answers_.local[i];
      img::crx_thread_entry& extra = context.extra_thread(i);
      if (thread.result(calls.policy) == 0 && answers.policy != kPolicyDefault) {
        extra.mutable_mempolicy()->set_mode(answers.policy);
        extra.mutable_mempolicy()->set_nodemask(answers.nodes, sizeof answers.nodes);
      }
      if (thread.result(calls.tsc) == 0) extra.set_tsc_mode(answers.tsc);
      const auto value = [&](std::size_t index) { return static_cast<uint32_t>(thread.result(index)); };
      if (thread.result(calls.cpuid) >= 0) extra.set_cpuid_mode(value(calls.cpuid));
      if (thread.result(calls.mce) >= 0) extra.set_mce_kill(value(calls.mce));
      if (thread.result(calls.flusher) > 0) extra.set_io_flusher(1);
      if (thread.result(calls.bypass) >= 0) extra.set_speculation_store_bypass(value(calls.bypass));
      if (thread.result(calls.branch) >= 0) extra.set_speculation_indirect_branch(value(calls.branch));
      if (thread.result(calls.l1d) >= 0) extra.set_speculation_l1d_flush(value(calls.l1d));
    }
  }

 private:
  ArenaPiece<Answers> answers_;
  std::vector<Calls> calls_;
};

}  // namespace

CollectorPtr make_thread_flags_collector() {
  return std::make_unique<ThreadFlags>();
}

}  // namespace crx
