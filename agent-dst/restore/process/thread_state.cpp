// Small properties of every thread: name, robust futex list, tid address, restartable sequences.
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <string>

#include "agent-dst/restore/kind/registry.hpp"

namespace crx {
namespace {

constexpr std::size_t kCommBytes = 16;

class ThreadState final : public Restorer {
 public:
  const char* name() const override { return "threads"; }

  void plan_thread(RestoreContext& context, std::size_t thread, RemoteBatch& batch) override {
    const img::core_entry& core = context.cores[thread];
    const img::crx_thread_entry& extra = context.extra.threads(static_cast<int>(thread));
    std::string comm = extra.has_comm()               ? extra.comm()
                       : thread == 0 && core.has_tc() ? core.tc().comm()
                                                      : core.thread_core().comm();
    comm.resize(kCommBytes);
    batch.add("setting the name", SYS_prctl, PR_SET_NAME, context.vessel.arena().put_string(comm));
  }

  // These come last: the kernel writes to the rseq area at every return to user mode, and to the tid address when the
  // thread ends.
  void plan_last(RestoreContext& context, std::size_t thread, RemoteBatch& batch) override {
    const img::core_entry& core = context.cores[thread];
    batch.add("setting the tid address", SYS_set_tid_address, core.thread_info().clear_tid_addr());
    if (core.thread_core().futex_rla_len() != 0) {
      batch.add("setting the robust futex list", SYS_set_robust_list, core.thread_core().futex_rla(),
                core.thread_core().futex_rla_len());
    }
    if (core.thread_core().has_rseq_entry()) {
      const img::rseq_entry& rseq = core.thread_core().rseq_entry();
      batch.add("registering rseq", SYS_rseq, rseq.rseq_abi_pointer(), rseq.rseq_abi_size(), 0, rseq.signature());
    }
  }
};

}  // namespace

RestorerPtr make_thread_state_restorer() {
  return std::make_unique<ThreadState>();
}

}  // namespace crx
