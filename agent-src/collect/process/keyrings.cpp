// Key rings of processes and threads (keyctl(2), process-keyring(7)): refused in the stop if they contain keys. Those
// of users and login sessions belong to the host.
#include <linux/keyctl.h>
#include <sys/syscall.h>

#include <vector>

#include "agent-src/collect/kind/registry.hpp"
#include "common/base/error.hpp"

namespace crx {
namespace {

class Keyrings final : public Collector {
 public:
  const char* name() const override { return "key rings"; }

  // With an empty buffer the kernel returns the number of bytes that the key ids take; ENOKEY if there is no ring.
  void plan(CollectContext&, BatchPlan& plan) override {
    calls_.clear();
    of_process_ = ask(plan.leader, KEY_SPEC_PROCESS_KEYRING);
    for (RemoteBatch& thread : plan.threads) calls_.push_back(ask(thread, KEY_SPEC_THREAD_KEYRING));
  }

  void collect(CollectContext& context, const BatchPlan& plan) override {
    if (plan.leader.result(of_process_) > 0) refuse("process", context.task.pid());
    for (std::size_t i = 0; i < calls_.size(); ++i) {
      if (plan.threads[i].result(calls_[i]) > 0) refuse("thread", context.task.threads()[i].tid());
    }
  }

 private:
  static std::size_t ask(RemoteBatch& batch, int ring) {
    return batch.add_optional("looking at a key ring", SYS_keyctl, KEYCTL_READ, static_cast<int64_t>(ring), 0, 0, 0);
  }
  [[noreturn]] static void refuse(const char* whose, pid_t pid) {
    throw Error(ErrorCode::refused, "collecting key rings",
                std::string("there are keys in its ") + whose + " key ring (keyctl), which cannot be moved")
        .with_pid(pid)
        .with_hint("let the program keep them in files or in its memory");
  }

  std::size_t of_process_ = 0;
  std::vector<std::size_t> calls_;
};

}  // namespace

CollectorPtr make_keyrings_collector() {
  return std::make_unique<Keyrings>();
}

}  // namespace crx
