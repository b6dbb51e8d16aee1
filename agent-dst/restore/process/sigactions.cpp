// Signal actions of the process. The vessel starts with the agent's, so every one is set.
#include <signal.h>
#include <sys/syscall.h>

#include "agent-dst/restore/kind/registry.hpp"
#include "common/base/error.hpp"
#include "common/kernel/process/kernel_sigaction.hpp"

namespace crx {
namespace {

constexpr int kSettable = kSignals - 2;  // without SIGKILL and SIGSTOP

class Sigactions final : public Restorer {
 public:
  const char* name() const override { return "signal actions"; }

  void prepare(RestoreContext& context) override {
    const int count = context.cores.front().tc().sigactions_size();
    if (count > kSettable) {
      throw Error(ErrorCode::corrupt_image, "restoring signal actions", std::to_string(count) + " are too many");
    }
  }

  void plan_process(RestoreContext& context, RemoteBatch& leader) override {
    const auto& wanted = context.cores.front().tc().sigactions();
    int index = 0;
    for (int signal = 1; signal <= kSignals; ++signal) {
      if (signal == SIGKILL || signal == SIGSTOP) continue;
      KernelSigaction action{};
      if (index < wanted.size()) {
        const img::sa_entry& entry = wanted[index++];
        action = {entry.sigaction(), entry.flags(), entry.restorer(), entry.mask()};
      }
      leader.add("setting a signal action", SYS_rt_sigaction, signal, context.vessel.arena().put_object(action), 0,
                 kSigsetBytes);
    }
  }
};

}  // namespace

RestorerPtr make_sigactions_restorer() {
  return std::make_unique<Sigactions>();
}

}  // namespace crx
