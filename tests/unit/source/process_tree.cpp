// Processes that are about to end, as /proc shows them.
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "agent-src/tree/process_tree.hpp"
#include "common/base/fd.hpp"
#include "common/base/scope_exit.hpp"
#include "common/proc/stat.hpp"

using namespace crx;

namespace {

template <typename Body>
pid_t fork_with(Body body) {
  const pid_t pid = ::fork();
  REQUIRE(pid >= 0);
  if (pid != 0) return pid;
  body();
  for (;;) ::pause();
}

TaskNode task_of(pid_t pid) {
  TaskNode task;
  REQUIRE(try_read_task(pid, task));
  return task;
}

}  // namespace

TEST_CASE("a process has ended when all its threads are past exit(2), as a zombie, and when its number was reused") {
  const pid_t living = fork_with([] {});
  const pid_t leaving = fork_with([] {
    std::thread([] { ::pause(); }).detach();
    ::syscall(SYS_exit, 0);
  });
  const pid_t dead = fork_with([] { ::_exit(7); });
  const ScopeExit end_all([&] {
    for (const pid_t pid : {living, leaving, dead}) {
      ::kill(pid, SIGKILL);
      ::waitpid(pid, nullptr, 0);
    }
  });
  siginfo_t info{};
  REQUIRE(::waitid(P_PID, static_cast<id_t>(dead), &info, WEXITED | WNOWAIT) == 0);
  while (proc::parse_stat(read_file(fmt::format("/proc/{}/stat", leaving))).state != 'Z') ::usleep(1000);

  CHECK_FALSE(has_ended(task_of(living)));
  CHECK_FALSE(has_ended(task_of(leaving)));  // its other thread runs
  CHECK_FALSE(task_of(leaving).dead);
  CHECK(task_of(dead).dead);
  CHECK(has_ended(task_of(dead)));
  TaskNode other = task_of(living);
  other.start_ticks += 1;
  CHECK(has_ended(other));
}
