#include "common/kernel/process/child_process.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <stdexcept>

#include "common/base/error.hpp"
#include "common/base/fd.hpp"

namespace crx {
namespace {

bool is_there(pid_t pid) {
  return ::kill(pid, 0) == 0;
}

}  // namespace

TEST_CASE("a child's result is its exit code, and an exception is a failure") {
  CHECK(ChildProcess::fork("testing", [] { return 7; }).wait().code() == 7);
  CHECK(ChildProcess::fork("testing", [] { return 0; }).wait().succeeded());
  const auto thrower = []() -> int { throw std::runtime_error("this line belongs to a test"); };
  CHECK(ChildProcess::fork("testing", thrower).wait().code() == 1);
  const ChildStatus killed = ChildProcess::fork("testing", [] { return ::raise(SIGKILL); }).wait();
  CHECK(killed.killed());
  CHECK(killed.signal() == SIGKILL);
  CHECK(killed.shell_code() == 128 + SIGKILL);
}

TEST_CASE("a child that does not end is a value at the deadline, and goes with its owner") {
  pid_t pid = 0;
  {
    ChildProcess child = *ChildProcess::try_fork_idle();
    pid = child.pid();
    CHECK_FALSE(child.wait_until(Deadline::in_ms(20)));
    CHECK(is_there(pid));
    ChildProcess other = std::move(child);
    CHECK_FALSE(child);  // NOLINT(bugprone-use-after-move): that it is empty is what is tested
    CHECK(is_there(pid));
  }
  CHECK_FALSE(is_there(pid));
  ChildProcess child = *ChildProcess::try_fork_idle();
  child.kill(SIGUSR1);
  CHECK(child.wait_until(Deadline::in_ms(10'000))->signal() == SIGUSR1);
  CHECK(child.pid() == 0);
}

TEST_CASE("a released child is reaped by those who reap any") {
  // Other tests of this program may have left children behind.
  int status = 0;
  while (try_reap_any(status) > 0) {
  }
  const pid_t pid = ChildProcess::fork("testing", [] { return 3; }).release();
  pid_t got = 0;
  while ((got = try_reap_any(status)) == 0) ::usleep(1000);
  CHECK(got == pid);
  CHECK(ChildStatus(status).code() == 3);
  const pid_t other = ChildProcess::fork("testing", [] { return 4; }).release();
  CHECK(wait_child(other).code() == 4);
  CHECK_THROWS_AS(wait_child(other), Error);
}

TEST_CASE("a child can share the descriptor table, and have a number that is free") {
  int number = -1;
  {
    const Fd any = open_checked("/dev/null", O_RDONLY);
    number = any.get();
  }
  const auto open_it = [number] { return ::dup2(0, number) == number ? 0 : 1; };
  CHECK(ChildProcess::fork("testing", open_it).wait().succeeded());
  CHECK(::fcntl(number, F_GETFD) < 0);
  CHECK(ChildProcess::fork("testing", open_it, {.shares_descriptors = true}).wait().succeeded());
  const Fd shared(number);
  CHECK(::fcntl(number, F_GETFD) >= 0);

  const pid_t taken = ::getpid();
  CHECK_FALSE(ChildProcess::try_fork([] { return 0; }, {.wanted_pid = taken}));
  CHECK((errno == EEXIST || errno == EPERM));
  pid_t wanted = ChildProcess::try_fork([] { return 0; })->pid();
  auto child = ChildProcess::try_fork([] { return 5; }, {.wanted_pid = wanted});
  if (child) {
    CHECK(child->pid() == wanted);
    CHECK(child->wait().code() == 5);
  } else {
    CHECK((errno == EEXIST || errno == EPERM));
  }
}

TEST_CASE("a child can end with its parent") {
  int ends[2];
  REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
  const Fd from(ends[0]);
  Fd to(ends[1]);
  const auto parent = [&] {
    ChildProcess inner = *ChildProcess::try_fork_idle({.parent_death_signal = SIGKILL});
    inner.release();
    return 0;
  };
  CHECK(ChildProcess::fork("testing", parent).wait().succeeded());
  to.reset();
  char byte = 0;
  CHECK(::read(from.get(), &byte, 1) == 0);  // the last writer has ended
}

}  // namespace crx
