// The three timers of setitimer(2): the remaining time of each.
#include <signal.h>
#include <sys/syscall.h>
#include <sys/time.h>

#include "agent-src/collect/kind/registry.hpp"
#include "common/kernel/process/kernel_sigaction.hpp"

namespace crx {
namespace {

constexpr int kTimers[] = {ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF};
constexpr int kTimerSignals[] = {SIGALRM, SIGVTALRM, SIGPROF};

void fill(const itimerval& timer, img::itimer_entry& entry) {
  entry.set_isec(static_cast<uint64_t>(timer.it_interval.tv_sec));
  entry.set_iusec(static_cast<uint64_t>(timer.it_interval.tv_usec));
  entry.set_vsec(static_cast<uint64_t>(timer.it_value.tv_sec));
  entry.set_vusec(static_cast<uint64_t>(timer.it_value.tv_usec));
}

bool queued(const img::signal_queue_entry& queue, int signal) {
  for (const img::siginfo_entry& entry : queue.signals()) {
    if (reinterpret_cast<const siginfo_t*>(entry.siginfo().data())->si_signo == signal) return true;
  }
  return false;
}

class IntervalTimers final : public Collector {
 public:
  const char* name() const override { return "interval timers"; }

  void plan(CollectContext& context, BatchPlan& plan) override {
    values_ = context.task.arena().allocate<itimerval>(std::size(kTimers));
    for (std::size_t i = 0; i < std::size(kTimers); ++i) {
      plan.leader.add("reading an interval timer", SYS_getitimer, kTimers[i], values_.at(i));
    }
  }

  void collect(CollectContext& context, const BatchPlan&) override {
    // A timer that fired after its value was read and before the signal queue was read must not fire twice.
    for (std::size_t i = 0; i < std::size(kTimers); ++i) {
      itimerval& timer = values_.local[i];
      const bool once = timer.it_interval.tv_sec == 0 && timer.it_interval.tv_usec == 0;
      const bool was_pending = (context.statuses[0].shared_pending & signal_bit(kTimerSignals[i])) != 0;
      if (once && !was_pending && queued(context.core().tc().signals_s(), kTimerSignals[i])) timer.it_value = {};
    }
    img::task_timers_entry& timers = *context.core().mutable_tc()->mutable_timers();
    fill(values_.local[0], *timers.mutable_real());
    fill(values_.local[1], *timers.mutable_virt());
    fill(values_.local[2], *timers.mutable_prof());
  }

 private:
  ArenaPiece<itimerval> values_;
};

}  // namespace

CollectorPtr make_interval_timers_collector() {
  return std::make_unique<IntervalTimers>();
}

}  // namespace crx
