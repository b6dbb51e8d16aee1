#include <doctest/doctest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/kernel/process/realtime.hpp"

using namespace crx;

TEST_CASE("real-time priority lasts as long as its object, and children do not inherit it") {
  const pid_t child = ::fork();
  if (child == 0) {
    ::setpriority(PRIO_PROCESS, 0, 3);
    int wrong = 0;
    {
      const Realtime realtime(::getpid());
      if (sched_attr(0).policy != kSchedRr) wrong = 1;
      const pid_t grandchild = ::fork();
      if (grandchild == 0) ::_exit(sched_attr(0).policy == kSchedNormal ? 0 : 2);
      int status = 0;
      ::waitpid(grandchild, &status, 0);
      if (status != 0) wrong = 2;
    }
    const SchedAttr after = sched_attr(0);
    if (after.policy != kSchedNormal || after.nice != 3) wrong = 3;
    make_realtime(::getpid());
    if (sched_attr(0).policy != kSchedRr) wrong = 4;
    make_usual(::getpid());
    if (sched_attr(0).policy != kSchedNormal || nice_value(0) != 3) wrong = 5;
    ::_exit(wrong);
  }
  int status = 0;
  CHECK(::waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
}
