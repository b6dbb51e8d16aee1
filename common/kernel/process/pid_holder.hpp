// For messages: what holds a PID or thread id that a process is to get.
#pragma once

#include <sys/types.h>

#include <string>

namespace crx {

struct PidHolder {
  std::string reason;  // "is taken by "cron"": the end of a sentence that begins with the number
  std::string remedy;  // "end that process": how to get the number free
};

// Says who holds the number here: a process or thread; a process that has ended and was not reaped by its parent (a
// zombie); or, where none of them has it (any more), a process group or session.
PidHolder holder_of(pid_t number);

}  // namespace crx
