// The scheduling settings of each thread: policy, nice value, deadline parameters, clamps, slice, CPU affinity, I/O
// priority. All of them are readable from outside.
#include "agent-src/collect/kind/registry.hpp"
#include "common/kernel/process/sched.hpp"

namespace crx {
namespace {

// Whether the mask restricts nothing: it contains every CPU of this host.
bool covers(const CpuMask& mask, const CpuMask& all) {
  for (std::size_t i = 0; i < all.size(); ++i) {
    if ((all[i] & ~(i < mask.size() ? mask[i] : 0)) != 0) return false;
  }
  return true;
}

class Scheduling final : public Collector {
 public:
  const char* name() const override { return "scheduling"; }

  void collect(CollectContext& context, const BatchPlan&) override {
    const CpuMask all = online_cpus();
    for (std::size_t i = 0; i < context.cores.size(); ++i) {
      const pid_t tid = context.task.threads()[i].tid();
      SchedAttr attr = sched_attr(tid);
      attr.nice = nice_value(tid);
      img::thread_core_entry& core = *context.core(i).mutable_thread_core();
      core.set_sched_nice(attr.nice);
      core.set_sched_policy(attr.policy);
      core.set_sched_prio(attr.priority);
      img::crx_thread_entry& extra = context.extra_thread(i);
      fill(attr, *extra.mutable_sched());
      extra.set_ioprio(io_priority(tid));
      const CpuMask mask = affinity(tid);
      if (!covers(mask, all)) extra.set_affinity(mask.data(), mask.size() * sizeof(uint64_t));
    }
  }

 private:
  static void fill(const SchedAttr& attr, img::crx_sched_attr& entry) {
    entry.set_policy(attr.policy);
    entry.set_flags(attr.flags);
    entry.set_nice(attr.nice);
    entry.set_priority(attr.priority);
    if (attr.policy == kSchedDeadline) {
      entry.set_runtime_ns(attr.runtime);
      entry.set_deadline_ns(attr.deadline);
      entry.set_period_ns(attr.period);
    } else if (attr.runtime != 0) {
      entry.set_slice_ns(attr.runtime);
    }
    if (attr.util_max != 0) {  // a kernel without utilization clamps reports 0
      entry.set_util_min(attr.util_min);
      entry.set_util_max(attr.util_max);
    }
  }
};

}  // namespace

CollectorPtr make_scheduling_collector() {
  return std::make_unique<Scheduling>();
}

}  // namespace crx
