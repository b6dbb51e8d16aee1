// One of several processes ends while arenas are mapped: no arena remains in the others.
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

#include "agent-src/freeze/call_site.hpp"
#include "agent-src/freeze/frozen_task.hpp"
#include "agent-src/freeze/interrupted_calls.hpp"
#include "common/base/error.hpp"
#include "common/base/scope_exit.hpp"
#include "common/kernel/process/pidfd.hpp"

using namespace crx;

namespace {

pid_t fork_sleeper() {
  const pid_t pid = ::fork();
  REQUIRE(pid >= 0);
  if (pid != 0) return pid;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  for (;;) ::pause();
}

void end(pid_t pid) {
  ::kill(pid, SIGKILL);
  ::waitpid(pid, nullptr, 0);
}

std::string maps_of(pid_t pid) {
  return read_file(fmt::format("/proc/{}/maps", pid));
}

}  // namespace

TEST_CASE("a process that ends while arenas are mapped leaves the others as they were") {
  const pid_t staying = fork_sleeper(), ending = fork_sleeper();
  const ScopeExit both([&] {
    end(staying);
    end(ending);
  });
  CallSites sites;
  {
    KernelView kernel;
    InterruptedCalls calls(kernel);
    FrozenTask one = FrozenTask::freeze(staying, Deadline::in_ms(10'000), false, calls);
    FrozenTask other = FrozenTask::freeze(ending, Deadline::in_ms(10'000), false, calls);
    const std::string before = maps_of(staying);
    // From here on only the calls in the ending process can fail.
    CHECK(other.call(sites.of(ending), SYS_getpid, {}) == ending);
    const CallSite first = sites.of(staying), second = sites.of(ending);
    REQUIRE(::kill(ending, SIGKILL) == 0);
    REQUIRE(wait_exit(other.pidfd(), Deadline::in_ms(10'000)));
    CHECK_THROWS_AS(FrozenTask::inject_all({&one, &other}, {first, second}), Error);
    CHECK(maps_of(staying) != before);  // the arena was mapped here
    one.thaw();
    CHECK(maps_of(staying) == before);
  }
  CHECK(::kill(staying, 0) == 0);
}
