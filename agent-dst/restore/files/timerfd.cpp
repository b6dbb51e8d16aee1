// timerfd: armed by the task itself, for the point in time at which it would have fired.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>

#include "agent-dst/restore/kind/fd_restorer.hpp"
#include "common/base/error.hpp"

#ifndef TFD_IOC_SET_TICKS
#define TFD_IOC_SET_TICKS _IOW('T', 0, uint64_t)
#endif

namespace crx {
namespace {

constexpr int64_t kNsPerSecond = 1'000'000'000;

timespec to_timespec(int64_t ns) {
  return {ns / kNsPerSecond, ns % kNsPerSecond};
}

class Timerfds final : public FdRestorer {
 public:
  const char* name() const override { return "timerfd"; }
  bool matches(const img::file_entry& entry) const override { return entry.type() == img::TIMERFD && entry.has_tfd(); }

  Fd open(const img::file_entry& entry, FdRestoreContext& context) override {
    const std::string object = describe("timerfd", entry.id(), context);
    Fd fd(::timerfd_create(static_cast<clockid_t>(entry.tfd().clockid()), TFD_CLOEXEC));
    if (!fd) throw_errno("restoring a timerfd", object);
    set_status_flags(fd.get(), entry.tfd().flags(), object);
    return fd;
  }

  void fix_up(FdRestoreContext& context) override {
    for (const auto& [id, entry] : context.entries) {
      if (!matches(entry)) continue;
      if (!context.places.contains(id)) continue;
      const FdPlace& place = context.place_of(id);
      Vessel& vessel = place.task->vessel;
      const ArenaScope scratch(vessel.arena());
      const int64_t now = task_clock(vessel, context.extra(id).deadline_clock());
      const Setting setting = setting_of(entry.tfd(), context.extra(id), now);
      RemoteBatch batch = vessel.batch(2);
      const int fd = place.fd;
      batch.add("arming a timerfd", SYS_timerfd_settime, fd, setting.flags, vessel.arena().put_object(setting.time), 0);
      if (setting.ticks != 0) {
        batch.add("setting a timerfd's expirations", SYS_ioctl, fd, TFD_IOC_SET_TICKS,
                  vessel.arena().put_object(setting.ticks));
      }
      vessel.run_checked(batch);
    }
  }

 private:
  struct Setting {
    int flags = 0;
    itimerspec time{};
    uint64_t ticks = 0;
  };

  // Returns the time of a clock as the task sees it in its time namespace, in ns.
  static int64_t task_clock(Vessel& vessel, int clock) {
    const auto now = vessel.arena().allocate<timespec>();
    vessel.call("reading a clock", SYS_clock_gettime, clock, now.remote);
    return int64_t{now.local->tv_sec} * kNsPerSecond + now.local->tv_nsec;
  }

  // now: the time of the task's deadline_clock.
  static Setting setting_of(const img::timerfd_entry& tfd, const img::crx_file_entry& extra, int64_t now) {
    Setting setting;
    setting.ticks = tfd.ticks();
    const int64_t interval = static_cast<int64_t>(tfd.isec()) * kNsPerSecond + static_cast<int64_t>(tfd.insec());
    const int64_t left = static_cast<int64_t>(tfd.vsec()) * kNsPerSecond + static_cast<int64_t>(tfd.vnsec());
    setting.time.it_interval = to_timespec(interval);
    // The mode in which it was armed last, also if it has fired (from fdinfo; a relative timer on the wall clock does
    // not follow when that is set).
    setting.flags = static_cast<int>(tfd.settime_flags() & (TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET));
    if (left == 0) return setting;
    if (!extra.has_deadline_ns()) {
      setting.flags = 0;
      setting.time.it_value = to_timespec(left);
      return setting;
    }
    int64_t deadline = extra.deadline_ns();
    // Setting the unread expirations would overwrite one that happens at once, so those that are due are counted here.
    if (setting.ticks != 0 && interval > 0 && deadline <= now) {
      const int64_t due = (now - deadline) / interval + 1;
      setting.ticks += static_cast<uint64_t>(due);
      deadline += due * interval;
    }
    // A deadline in the past fires at once.
    const bool absolute = (setting.flags & TFD_TIMER_ABSTIME) != 0;
    setting.time.it_value = to_timespec(std::max<int64_t>(absolute ? deadline : deadline - now, 1));
    return setting;
  }
};

}  // namespace

FdRestorerPtr make_timerfd_restorer() {
  return std::make_unique<Timerfds>();
}

}  // namespace crx
