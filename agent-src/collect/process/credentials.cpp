// Credentials of every thread: ids, groups, capability sets, securebits, no_new_privs. Most of them are in
// /proc/PID/task/TID/status.
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "agent-src/collect/kind/registry.hpp"

namespace crx {
namespace {

template <typename Field>
void add_halves(uint64_t set, Field& field) {
  field.Add(static_cast<uint32_t>(set));
  field.Add(static_cast<uint32_t>(set >> 32));
}

void fill(const proc::Status& status, uint32_t securebits, img::creds_entry& creds) {
  creds.set_uid(status.uid.real);
  creds.set_euid(status.uid.effective);
  creds.set_suid(status.uid.saved);
  creds.set_fsuid(status.uid.filesystem);
  creds.set_gid(status.gid.real);
  creds.set_egid(status.gid.effective);
  creds.set_sgid(status.gid.saved);
  creds.set_fsgid(status.gid.filesystem);
  add_halves(status.cap_inheritable, *creds.mutable_cap_inh());
  add_halves(status.cap_permitted, *creds.mutable_cap_prm());
  add_halves(status.cap_effective, *creds.mutable_cap_eff());
  add_halves(status.cap_bounding, *creds.mutable_cap_bnd());
  add_halves(status.cap_ambient, *creds.mutable_cap_amb());
  creds.set_secbits(securebits);
  for (const uint32_t group : status.groups) creds.add_groups(group);
  creds.set_no_new_privs(status.no_new_privs ? 1 : 0);
}

class Credentials final : public Collector {
 public:
  const char* name() const override { return "credentials"; }

  void plan(CollectContext&, BatchPlan& plan) override {
    calls_.clear();
    for (RemoteBatch& thread : plan.threads) {
      calls_.push_back(thread.add("reading securebits", SYS_prctl, PR_GET_SECUREBITS));
    }
    dumpable_ = plan.leader.add("reading dumpable", SYS_prctl, PR_GET_DUMPABLE);
  }

  void collect(CollectContext& context, const BatchPlan& plan) override {
    for (std::size_t i = 0; i < context.cores.size(); ++i) {
      const auto securebits = static_cast<uint32_t>(plan.threads[i].checked(calls_[i]));
      fill(context.statuses[i], securebits, *context.core(i).mutable_thread_core()->mutable_creds());
      context.extra_thread(i).set_no_new_privs(context.statuses[i].no_new_privs);
    }
    context.extra.set_dumpable(static_cast<uint32_t>(plan.leader.checked(dumpable_)));
  }

 private:
  std::vector<std::size_t> calls_;
  std::size_t dumpable_ = 0;
};

}  // namespace

CollectorPtr make_credentials_collector() {
  return std::make_unique<Credentials>();
}

}  // namespace crx
