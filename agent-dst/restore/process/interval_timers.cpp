// Timers of setitimer(2), armed as late as possible: a signal that comes due before the task runs stays queued.
#include <sys/syscall.h>
#include <sys/time.h>

#include "agent-dst/restore/kind/registry.hpp"
#include "common/base/error.hpp"

namespace crx {
namespace {

itimerval value_of(const img::itimer_entry& entry) {
  itimerval value{};
  value.it_interval.tv_sec = static_cast<time_t>(entry.isec());
  value.it_interval.tv_usec = static_cast<suseconds_t>(entry.iusec());
  value.it_value.tv_sec = static_cast<time_t>(entry.vsec());
  value.it_value.tv_usec = static_cast<suseconds_t>(entry.vusec());
  return value;
}

class IntervalTimers final : public Restorer {
 public:
  const char* name() const override { return "interval timers"; }

  void plan_last(RestoreContext& context, std::size_t thread, RemoteBatch& batch) override {
    if (thread != 0 || !context.cores.front().tc().has_timers()) return;
    const img::task_timers_entry& timers = context.cores.front().tc().timers();
    plan_one(context, batch, ITIMER_REAL, timers.real());
    plan_one(context, batch, ITIMER_VIRTUAL, timers.virt());
    plan_one(context, batch, ITIMER_PROF, timers.prof());
  }

 private:
  static void plan_one(RestoreContext& context, RemoteBatch& batch, int which, const img::itimer_entry& entry) {
    itimerval value = value_of(entry);
    // A periodic timer that has fired is armed again when its signal is delivered (kernel/signal.c). Here it fires once
    // more, which adds nothing to the queued signal, and goes on from there.
    if (value.it_value.tv_sec == 0 && value.it_value.tv_usec == 0) {
      if (value.it_interval.tv_sec == 0 && value.it_interval.tv_usec == 0) return;
      value.it_value.tv_usec = 1;
    }
    batch.add("arming an interval timer", SYS_setitimer, which, context.vessel.arena().put_object(value), 0);
  }
};

}  // namespace

RestorerPtr make_interval_timers_restorer() {
  return std::make_unique<IntervalTimers>();
}

}  // namespace crx
