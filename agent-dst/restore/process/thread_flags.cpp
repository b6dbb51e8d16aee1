// Settings of each thread, except syscall user dispatch: it would catch the calls of the stub, so ptrace sets it when
// no more are made (load_registers.hpp).
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "agent-dst/restore/kind/registry.hpp"
#include "common/base/error.hpp"
#include "common/kernel/process/prctl_uapi.hpp"

namespace crx {
namespace {

class ThreadFlags final : public Restorer {
 public:
  const char* name() const override { return "thread flags"; }

  void plan_thread(RestoreContext& context, std::size_t thread, RemoteBatch& batch) override {
    const img::crx_thread_entry& extra = context.extra.threads(static_cast<int>(thread));
    plan_policy(context.vessel.arena(), extra, batch);
    if (extra.has_tsc_mode()) batch.add("setting the TSC mode", SYS_prctl, PR_SET_TSC, extra.tsc_mode());
    if (extra.has_cpuid_mode()) {
      batch.add_optional("setting the CPUID mode", SYS_arch_prctl, uapi::kArchSetCpuid, extra.cpuid_mode());
    }
    if (extra.has_mce_kill()) {
      const uint32_t policy = extra.mce_kill();
      batch.add("setting the machine check policy", SYS_prctl, PR_MCE_KILL,
                policy == PR_MCE_KILL_DEFAULT ? PR_MCE_KILL_CLEAR : PR_MCE_KILL_SET,
                policy == PR_MCE_KILL_DEFAULT ? 0 : policy, 0, 0);
    }
    if (extra.io_flusher() != 0)
      batch.add_optional("setting the I/O flusher flag", SYS_prctl, uapi::kSetIoFlusher, 1, 0, 0, 0);
    plan_speculation(batch, PR_SPEC_STORE_BYPASS, extra.speculation_store_bypass());
    plan_speculation(batch, PR_SPEC_INDIRECT_BRANCH, extra.speculation_indirect_branch());
    plan_speculation(batch, 2 /* PR_SPEC_L1D_FLUSH */, extra.speculation_l1d_flush());
  }

 private:
  static void plan_policy(RemoteArena& arena, const img::crx_thread_entry& extra, RemoteBatch& batch) {
    if (!extra.has_mempolicy()) {
      batch.add_optional("clearing the memory policy", SYS_set_mempolicy, 0, 0, 0);
      return;
    }
    const std::string& nodes = extra.mempolicy().nodemask();
    batch.add("setting the memory policy", SYS_set_mempolicy, extra.mempolicy().mode(),
              arena.put(std::as_bytes(std::span(nodes))), nodes.size() * 8);
  }

  // Sets only a state that the thread has chosen itself; otherwise this host's default holds.
  static void plan_speculation(RemoteBatch& batch, int which, uint32_t value) {
    if ((value & PR_SPEC_PRCTL) == 0) return;
    for (const auto state : {PR_SPEC_ENABLE, PR_SPEC_DISABLE, PR_SPEC_FORCE_DISABLE, PR_SPEC_DISABLE_NOEXEC}) {
      if ((value & state) == 0) continue;
      batch.add_optional("setting speculation control", SYS_prctl, PR_SET_SPECULATION_CTRL, which, state, 0, 0);
    }
  }
};

}  // namespace

RestorerPtr make_thread_flags_restorer() {
  return std::make_unique<ThreadFlags>();
}

}  // namespace crx
