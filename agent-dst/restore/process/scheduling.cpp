// Scheduling of threads, and their timer slack; set from outside after all remote calls. A setting that is not
// permitted is only warned about: a process with another priority is better than one that does not run.
#include <fmt/format.h>

#include <cstring>
#include <string>

#include "agent-dst/restore/kind/registry.hpp"
#include "common/base/error.hpp"
#include "common/base/fd.hpp"
#include "common/base/log.hpp"
#include "common/kernel/process/sched.hpp"

namespace crx {
namespace {

SchedAttr attr_of(const img::core_entry& core, const img::crx_thread_entry& extra) {
  SchedAttr attr;
  attr.policy = core.thread_core().sched_policy();
  attr.nice = core.thread_core().sched_nice();
  attr.priority = core.thread_core().sched_prio();
  if (!extra.has_sched()) return attr;
  const img::crx_sched_attr& sched = extra.sched();
  attr.policy = sched.policy();
  attr.nice = sched.nice();
  attr.priority = sched.priority();
  attr.flags = sched.flags() & ~(kSchedUtilClampMin | kSchedUtilClampMax);
  if (attr.policy == kSchedDeadline) {
    attr.runtime = sched.runtime_ns();
    attr.deadline = sched.deadline_ns();
    attr.period = sched.period_ns();
  } else {
    attr.runtime = sched.slice_ns();
  }
  attr.util_min = sched.util_min();
  attr.util_max = sched.util_max();
  return attr;
}

class Scheduling final : public Restorer {
 public:
  const char* name() const override { return "scheduling"; }

  void finish(RestoreContext& context) override {
    for (std::size_t i = 0; i < context.cores.size(); ++i) {
      const img::crx_thread_entry& extra = context.extra.threads(static_cast<int>(i));
      const auto tid = static_cast<pid_t>(extra.tid());
      apply_affinity(tid, extra);
      apply_policy(tid, attr_of(context.cores[i], extra));
      apply_slack(tid, extra);
      const uint32_t ioprio = extra.ioprio();
      if (io_priority(tid) == ioprio) continue;
      if (const int error = set_io_priority(tid, ioprio); error != 0) {
        log::warn("thread {}: cannot set its I/O priority {:#x} here: {}", tid, ioprio, std::strerror(error));
      }
    }
  }

 private:
  // Without a mask in the image the thread could run on every CPU, and can here, even if the agent is bound to some.
  static void apply_affinity(pid_t tid, const img::crx_thread_entry& extra) {
    CpuMask wanted(extra.affinity().size() / sizeof(uint64_t));
    if (wanted.empty()) {
      if (const int error = set_affinity(tid, CpuMask(128, ~uint64_t{0})); error != 0) {
        log::warn("thread {}: cannot set its CPU affinity here: {}", tid, std::strerror(error));
      }
      return;
    }
    std::memcpy(wanted.data(), extra.affinity().data(), wanted.size() * sizeof(uint64_t));
    const CpuMask online = online_cpus();
    bool lost = false;
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      if ((wanted[i] & ~(i < online.size() ? online[i] : 0)) != 0) lost = true;
    }
    if (lost) log::warn("thread {}: some of the CPUs it is bound to do not exist here", tid);
    if (const int error = set_affinity(tid, wanted); error != 0) {
      log::warn("thread {}: cannot set its CPU affinity here: {}", tid, std::strerror(error));
    }
  }

  // Runs after the policy is set: a real-time thread has no slack, and one that leaves real time gets its default
  // (Linux 6.12).
  static void apply_slack(pid_t tid, const img::crx_thread_entry& extra) {
    if (!extra.has_timer_slack_ns() || extra.timer_slack_ns() == 0) return;
    try {
      write_file(fmt::format("/proc/{}/timerslack_ns", tid), std::to_string(extra.timer_slack_ns()));
    } catch (const Error& error) {
      log::warn("thread {}: cannot set its timer slack here: {}", tid, error.what());
    }
  }

  static void apply_policy(pid_t tid, SchedAttr wanted) {
    SchedAttr has = sched_attr(tid);
    has.nice = nice_value(tid);
    if (wanted.util_max == 0 || has.util_max == 0) {  // clamps are not supported there or here
      wanted.util_min = has.util_min;
      wanted.util_max = has.util_max;
    }
    const bool fair = wanted.policy == kSchedNormal || wanted.policy == kSchedBatch;
    if (fair && wanted.runtime == 0) wanted.runtime = has.runtime;
    if (wanted == has) return;
    if (!fair && wanted.nice != has.nice) {  // the kernel stores it only while the policy is a fair one
      SchedAttr nice;
      nice.nice = wanted.nice;
      if (const int error = set_sched_attr(tid, nice); error != 0) {
        log::warn("thread {}: cannot set nice {} here: {}", tid, wanted.nice, std::strerror(error));
      }
    }
    if (wanted.util_min != has.util_min || wanted.util_max != has.util_max) {
      wanted.flags |= kSchedUtilClampMin | kSchedUtilClampMax;
    }
    // A slice equal to the kernel's default was not set by anybody.
    if (fair && wanted.runtime == has.runtime) wanted.runtime = 0;
    if (const int error = set_sched_attr(tid, wanted); error != 0) {
      log::warn("thread {}: cannot set scheduling policy {} with nice {} and priority {} here: {}", tid, wanted.policy,
                wanted.nice, wanted.priority, std::strerror(error));
    }
  }
};

}  // namespace

RestorerPtr make_scheduling_restorer() {
  return std::make_unique<Scheduling>();
}

}  // namespace crx
