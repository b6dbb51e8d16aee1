// Starts write tracking in the one short stop before the cutover: the victim makes a userfaultfd, and we take it.
#pragma once

#include <sys/types.h>

#include "agent-src/freeze/call_site.hpp"
#include "common/base/clock.hpp"
#include "common/base/fd.hpp"
#include "common/kernel/introspect/kernel_view.hpp"

namespace crx {

struct TrackingStart {
  Fd userfaultfd;       // our duplicate; the victim's own is closed
  int64_t stop_us = 0;  // how long the leader was stopped
};

// Stops the leader, makes it call userfaultfd(2), duplicates the descriptor and closes the original. The victim then
// runs on unchanged. flags: for userfaultfd(2). Throws Error(kernel) if this fails (no descriptor free, a seccomp
// policy), or Error(victim_gone).
TrackingStart start_tracking(pid_t pid, const CallSite& site, unsigned flags, bool suspend_seccomp, Deadline deadline,
                             KernelView& kernel);

}  // namespace crx
