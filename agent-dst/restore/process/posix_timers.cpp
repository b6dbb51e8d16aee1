// Timers of timer_create(2) with the ids they had: by PR_TIMER_CREATE_RESTORE_IDS (Linux 6.15). On older kernels, since
// a new process numbers its timers from 0, by creating and deleting the timers in between.
#include <fmt/format.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>

#include <algorithm>
#include <vector>

#include "agent-dst/restore/kind/registry.hpp"
#include "common/base/error.hpp"
#include "common/kernel/process/prctl_uapi.hpp"

namespace crx {
namespace {

constexpr uint32_t kMostCreated = 4096;

// The kernel's struct sigevent, 64 bytes.
struct KernelSigevent {
  uint64_t value;
  int32_t signo;
  int32_t notify;
  int32_t tid;
  int32_t pad[11];
};
static_assert(sizeof(KernelSigevent) == 64);

itimerspec value_of(const img::posix_timer_entry& entry) {
  itimerspec value{};
  value.it_interval.tv_sec = static_cast<time_t>(entry.isec());
  value.it_interval.tv_nsec = static_cast<long>(entry.insec());
  value.it_value.tv_sec = static_cast<time_t>(entry.vsec());
  value.it_value.tv_nsec = static_cast<long>(entry.vnsec());
  return value;
}

class PosixTimers final : public Restorer {
 public:
  const char* name() const override { return "POSIX timers"; }

  void prepare(RestoreContext& context) override {
    const auto& timers = context.cores.front().tc().timers().posix();
    timers_.assign(timers.begin(), timers.end());
    std::sort(timers_.begin(), timers_.end(), [](const auto& a, const auto& b) { return a.it_id() < b.it_id(); });
  }

  // Runs after the last thread exists, since a timer may notify any thread.
  void after_thread(RestoreContext& context, std::size_t thread, const RemoteBatch&) override {
    if (timers_.empty() || thread + 1 != context.cores.size()) return;
    const bool by_id =
        context.vessel.try_call("asking for timer ids", SYS_prctl, uapi::kTimerCreateRestoreIds, 1, 0, 0, 0) == 0;
    const uint32_t last_id = timers_.back().it_id();
    if (!by_id && last_id >= kMostCreated) {
      throw Error(ErrorCode::unsupported, "restoring timers", fmt::format("timer id {} cannot be made", last_id))
          .with_hint("Linux 6.15 at the destination can");
    }
    for (std::size_t done = 0; done < timers_.size(); done += kAtOnce) {
      create_some(context, done, std::min(timers_.size(), done + kAtOnce), by_id);
    }
    if (!by_id) return;
    context.vessel.call("asking for timer ids", SYS_prctl, uapi::kTimerCreateRestoreIds, 0, 0, 0, 0);
  }

  void plan_last(RestoreContext& context, std::size_t thread, RemoteBatch& batch) override {
    if (thread != 0) return;
    for (const img::posix_timer_entry& timer : timers_) {
      if (timer.vsec() == 0 && timer.vnsec() == 0) continue;
      batch.add("arming a timer", SYS_timer_settime, timer.it_id(), 0,
                context.vessel.arena().put_object(value_of(timer)), 0);
    }
  }

 private:
  static constexpr std::size_t kAtOnce = 64;

  void create_some(RestoreContext& context, std::size_t first, std::size_t end, bool by_id) {
    RemoteArena& arena = context.vessel.arena();
    const ArenaScope scratch(arena);
    RemoteBatch batch = context.vessel.batch(by_id ? end - first : (end - first) + 2 * kMostCreated);
    std::vector<ArenaPiece<int32_t>> ids;
    for (std::size_t i = first; i < end; ++i) {
      const img::posix_timer_entry& timer = timers_[i];
      for (; !by_id && next_id_ < timer.it_id(); ++next_id_) {
        KernelSigevent nothing{};
        nothing.notify = SIGEV_NONE;
        const auto spare = arena.allocate<int32_t>();
        batch.add("passing over a timer id", SYS_timer_create, CLOCK_MONOTONIC, arena.put_object(nothing),
                  spare.remote);
        batch.add("passing over a timer id", SYS_timer_delete, next_id_);
      }
      KernelSigevent event{};
      event.value = timer.sival_ptr();
      event.signo = static_cast<int32_t>(timer.si_signo());
      event.notify = static_cast<int32_t>(timer.it_sigev_notify());
      event.tid = timer.notify_thread_id();
      const auto id = arena.allocate<int32_t>();
      *id.local = static_cast<int32_t>(timer.it_id());
      batch.add("creating a timer", SYS_timer_create, static_cast<int32_t>(timer.clock_id()), arena.put_object(event),
                id.remote);
      next_id_ = timer.it_id() + 1;
      ids.push_back(id);
    }
    context.vessel.run_checked(batch);
    for (std::size_t i = first; i < end; ++i) {
      const int32_t got = *ids[i - first].local;
      if (got == static_cast<int32_t>(timers_[i].it_id())) continue;
      throw Error(ErrorCode::unsupported, "restoring timers",
                  fmt::format("timer {} came back as {}", timers_[i].it_id(), got));
    }
  }

  std::vector<img::posix_timer_entry> timers_;  // ascending by id
  uint32_t next_id_ = 0;
};

}  // namespace

RestorerPtr make_posix_timers_restorer() {
  return std::make_unique<PosixTimers>();
}

}  // namespace crx
