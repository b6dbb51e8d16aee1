#include "agent-src/freeze/tracking_start.hpp"

#include <sys/syscall.h>

#include "agent-src/freeze/frozen_task.hpp"
#include "common/base/error.hpp"

namespace crx {

TrackingStart start_tracking(pid_t pid, const CallSite& site, unsigned flags, bool suspend_seccomp, Deadline deadline,
                             KernelView& kernel) {
  TrackingStart start;
  int64_t began_us = 0;
  {
    FrozenTask task = FrozenTask::freeze_leader(pid, deadline, suspend_seccomp, kernel);
    began_us = task.stopped_since_us();
    const int64_t fd = task.call(site, SYS_userfaultfd, {flags});
    if (fd < 0) {
      throw Error(ErrorCode::kernel, "starting to track memory", "userfaultfd in the process", static_cast<int>(-fd))
          .with_pid(pid);
    }
    start.userfaultfd = try_get_fd(task.pidfd(), static_cast<int>(fd));
    task.call(site, SYS_close, {static_cast<uint64_t>(fd)});
    if (!start.userfaultfd) throw_errno("starting to track memory", "taking the userfaultfd out of the process");
    task.thaw();
  }
  start.stop_us = monotonic_us() - began_us;
  return start;
}

}  // namespace crx
