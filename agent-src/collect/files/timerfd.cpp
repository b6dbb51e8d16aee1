// timerfd_create(2): the remaining time, and the exact point in time of the next expiration.
#include <sys/timerfd.h>

#include "agent-src/collect/kind/fd_kind.hpp"
#include "common/base/clock.hpp"
#include "common/base/error.hpp"
#include "common/kernel/process/time_namespace.hpp"

namespace crx {
namespace {

constexpr int64_t kNsPerSecond = 1'000'000'000;

int64_t to_ns(const timespec& time) {
  return int64_t{time.tv_sec} * kNsPerSecond + time.tv_nsec;
}

// Returns the clock on which the deadline does not move: a relative timer on the wall clock does not follow when that
// is set.
int deadline_clock(int clock, uint32_t settime_flags) {
  if (clock == CLOCK_BOOTTIME || clock == CLOCK_BOOTTIME_ALARM) return CLOCK_BOOTTIME;
  if (clock == CLOCK_MONOTONIC) return CLOCK_MONOTONIC;
  return (settime_flags & TFD_TIMER_ABSTIME) != 0 ? CLOCK_REALTIME : CLOCK_MONOTONIC;
}

// Returns how far the task's clock is ahead of ours, in ns (time namespaces).
int64_t ahead_of_us(pid_t pid, int clock) {
  const TimeOffsets ours = time_offsets(0);
  const TimeOffsets its = time_offsets(pid);
  switch (clock) {
    case CLOCK_MONOTONIC:
      return its.monotonic_ns - ours.monotonic_ns;
    case CLOCK_BOOTTIME:
      return its.boottime_ns - ours.boottime_ns;
    default:
      return 0;
  }
}

class Timerfds final : public FdKind {
 public:
  const char* name() const override { return "timerfd"; }
  bool matches(const OpenFile& file) const override { return file.is_anonymous("anon_inode:[timerfd]"); }

  void collect(OpenFile& file, FdContext& context, img::file_entry& entry) override {
    // timerfd_gettime updates the expirations of an interval timer; fdinfo shows them afterwards.
    itimerspec left{};
    if (::timerfd_gettime(file.own.get(), &left) != 0) throw_errno("reading a timerfd", file.label());
    const proc::Fdinfo info = proc::parse_fdinfo(read_file("/proc/self/fdinfo/" + std::to_string(file.own.get())));
    if (!info.timerfd) refuse(file, "the kernel does not tell its clock", "use a newer kernel");
    entry.set_type(img::TIMERFD);
    img::timerfd_entry& tfd = *entry.mutable_tfd();
    tfd.set_id(file.id);
    tfd.set_flags(file.info.flags);
    *tfd.mutable_fown() = read_file_owner(file);
    tfd.set_clockid(static_cast<uint32_t>(info.timerfd->clock_id));
    tfd.set_ticks(info.timerfd->ticks);
    tfd.set_settime_flags(info.timerfd->settime_flags);

    const int clock = deadline_clock(info.timerfd->clock_id, info.timerfd->settime_flags);
    if (::timerfd_gettime(file.own.get(), &left) != 0) throw_errno("reading a timerfd", file.label());
    const int64_t now = clock_ns(clock);
    tfd.set_vsec(static_cast<uint64_t>(left.it_value.tv_sec));
    tfd.set_vnsec(static_cast<uint64_t>(left.it_value.tv_nsec));
    tfd.set_isec(static_cast<uint64_t>(left.it_interval.tv_sec));
    tfd.set_insec(static_cast<uint64_t>(left.it_interval.tv_nsec));
    if (to_ns(left.it_value) == 0) return;
    img::crx_file_entry& extra = context.extra(file);
    extra.set_deadline_clock(clock);
    extra.set_deadline_ns(now + to_ns(left.it_value) + ahead_of_us(file.pid, clock));
  }
};

}  // namespace

FdKindPtr make_timerfds() {
  return std::make_unique<Timerfds>();
}

}  // namespace crx
