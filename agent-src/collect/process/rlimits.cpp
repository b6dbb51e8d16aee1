// Resource limits of the process. The task itself is asked: prlimit(2) on a process of another uid may be forbidden.
#include <sys/resource.h>
#include <sys/syscall.h>

#include "agent-src/collect/kind/registry.hpp"

namespace crx {
namespace {

constexpr int kLimits = 16;  // RLIM_NLIMITS of the kernel

class Rlimits final : public Collector {
 public:
  const char* name() const override { return "resource limits"; }

  void plan(CollectContext& context, BatchPlan& plan) override {
    values_ = context.task.arena().allocate<rlimit>(kLimits);
    for (int resource = 0; resource < kLimits; ++resource) {
      plan.leader.add("reading a resource limit", SYS_prlimit64, 0, resource, 0,
                      values_.at(static_cast<unsigned>(resource)));
    }
  }

  void collect(CollectContext& context, const BatchPlan&) override {
    img::task_rlimits_entry& limits = *context.core().mutable_tc()->mutable_rlimits();
    for (int resource = 0; resource < kLimits; ++resource) {
      img::rlimit_entry& entry = *limits.add_rlimits();
      entry.set_cur(values_.local[resource].rlim_cur);
      entry.set_max(values_.local[resource].rlim_max);
    }
  }

 private:
  ArenaPiece<rlimit> values_;
};

}  // namespace

CollectorPtr make_rlimits_collector() {
  return std::make_unique<Rlimits>();
}

}  // namespace crx
