// Timers of timer_create(2): their settings are in /proc/PID/timers, the remaining time is asked in the task.
#include <fmt/format.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "agent-src/collect/kind/registry.hpp"
#include "common/base/error.hpp"
#include "common/proc/timers.hpp"

namespace crx {
namespace {

constexpr std::size_t kMaxTimers = (BatchPlan::kLeaderCalls - 256) / 2;

bool fired_since(const img::signal_queue_entry& queue, int32_t id) {
  for (const img::siginfo_entry& entry : queue.signals()) {
    siginfo_t info{};
    std::memcpy(&info, entry.siginfo().data(), std::min(sizeof info, entry.siginfo().size()));
    if (info.si_code == SI_TIMER && info.si_timerid == id) return true;
  }
  return false;
}

class PosixTimers final : public Collector {
 public:
  const char* name() const override { return "POSIX timers"; }

  void inspect(InspectContext& context) override {
    if (proc::parse_timers(read_file(context.proc + "timers")).size() <= kMaxTimers) return;
    context.refusals.push_back({fmt::format("pid {}", context.pid),
                                fmt::format("has more than {} POSIX timers", kMaxTimers),
                                "delete timers that are not needed"});
  }

  void plan(CollectContext& context, BatchPlan& plan) override {
    overruns_.clear();
    timers_ = proc::parse_timers(read_file(context.task.proc() + "timers"));
    if (timers_.size() > kMaxTimers) {
      throw Error(ErrorCode::refused, "collecting timers", fmt::format("there are more than {}", kMaxTimers));
    }
    values_ = context.task.arena().allocate<itimerspec>(timers_.size());
    for (std::size_t i = 0; i < timers_.size(); ++i) {
      plan.leader.add("reading a timer", SYS_timer_gettime, timers_[i].id, values_.at(i));
      overruns_.push_back(plan.leader.add("reading a timer's overrun", SYS_timer_getoverrun, timers_[i].id));
    }
  }

  void collect(CollectContext& context, const BatchPlan& plan) override {
    img::task_timers_entry& timers = *context.core().mutable_tc()->mutable_timers();
    for (std::size_t i = 0; i < timers_.size(); ++i) {
      const proc::PosixTimer& timer = timers_[i];
      itimerspec value = values_.local[i];
      const bool once = value.it_interval.tv_sec == 0 && value.it_interval.tv_nsec == 0;
      if (once && is_queued(context, timer)) value.it_value = {};
      img::posix_timer_entry& entry = *timers.add_posix();
      entry.set_it_id(static_cast<uint32_t>(timer.id));
      entry.set_clock_id(static_cast<uint32_t>(timer.clock_id));
      entry.set_si_signo(static_cast<uint32_t>(timer.signo));
      entry.set_it_sigev_notify(static_cast<uint32_t>(timer.notify));
      entry.set_sival_ptr(timer.sigval);
      entry.set_overrun(static_cast<uint32_t>(plan.leader.checked(overruns_[i])));
      entry.set_isec(static_cast<uint64_t>(value.it_interval.tv_sec));
      entry.set_insec(static_cast<uint64_t>(value.it_interval.tv_nsec));
      entry.set_vsec(static_cast<uint64_t>(value.it_value.tv_sec));
      entry.set_vnsec(static_cast<uint64_t>(value.it_value.tv_nsec));
      if (timer.to_thread) entry.set_notify_thread_id(timer.pid);
    }
  }

 private:
  // Whether the timer's signal is queued: it has fired, maybe after its value was read.
  static bool is_queued(const CollectContext& context, const proc::PosixTimer& timer) {
    for (const img::core_entry& core : context.cores) {
      if (fired_since(core.thread_core().signals_p(), timer.id)) return true;
    }
    return fired_since(context.cores.front().tc().signals_s(), timer.id);
  }

  std::vector<proc::PosixTimer> timers_;
  ArenaPiece<itimerspec> values_;
  std::vector<std::size_t> overruns_;
};

}  // namespace

CollectorPtr make_posix_timers_collector() {
  return std::make_unique<PosixTimers>();
}

}  // namespace crx
