// The one stop of the victim before the freeze: a userfaultfd is made in it and taken out.
#pragma once

#include <sys/types.h>

#include "agent-src/freeze/call_site.hpp"
#include "agent-src/freeze/sleep_reader.hpp"
#include "common/base/clock.hpp"
#include "common/base/fd.hpp"

namespace crx {

struct TrackingStart {
  Fd userfaultfd;       // our duplicate; the victim's own is closed
  int64_t stop_us = 0;  // how long its leader was stopped
};

// Stops the leader, has it call userfaultfd(2), takes the descriptor and closes the original. The
// victim runs on as it was. Throws Error: kernel when it cannot (no descriptor free, a seccomp policy); victim_gone.
TrackingStart start_tracking(pid_t pid, const CallSite& site, unsigned flags, bool suspend_seccomp, Deadline deadline,
                             SleepReader& sleeps);

}  // namespace crx
