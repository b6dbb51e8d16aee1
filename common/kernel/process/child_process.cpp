#include "common/kernel/process/child_process.hpp"

#include <linux/sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <exception>
#include <string>

#include "common/base/error.hpp"
#include "common/base/log.hpp"
#include "common/kernel/process/pidfd.hpp"

namespace crx {
namespace {

// waitpid(2), again after signals. -1 with errno ECHILD: it is no child of ours.
pid_t wait_for(pid_t pid, int& status, int flags) noexcept {
  pid_t got = -1;
  do {
    got = ::waitpid(pid, &status, flags);
  } while (got < 0 && errno == EINTR);
  return got;
}

pid_t raw_fork(const ForkOptions& options) noexcept {
  if (options.wanted_pid == 0 && !options.shares_descriptors) return ::fork();
  pid_t wanted = options.wanted_pid;
  clone_args args{};
  args.flags = options.shares_descriptors ? CLONE_FILES : 0;
  args.exit_signal = SIGCHLD;
  if (wanted != 0) {
    args.set_tid = reinterpret_cast<uint64_t>(&wanted);
    args.set_tid_size = 1;
  }
  return static_cast<pid_t>(::syscall(SYS_clone3, &args, sizeof args));
}

// The child's whole life.
[[noreturn]] void live(const std::function<int()>& body, const ForkOptions& options, pid_t parent) noexcept {
  if (options.parent_death_signal != 0) {
    ::prctl(PR_SET_PDEATHSIG, options.parent_death_signal);
    if (::syscall(SYS_getppid) != parent) ::_exit(1);
  }
  int code = 1;
  try {
    code = body();
  } catch (const std::exception& error) {
    // The end of a forked child: there is nobody to unwind to.
    log::error("{}", error.what());
  }
  ::_exit(code);
}

ChildStatus wait_checked(pid_t pid, int flags) {
  int status = 0;
  if (wait_for(pid, status, flags) < 0) throw_errno("waiting", "process " + std::to_string(pid));
  return ChildStatus(status);
}

}  // namespace

bool ChildStatus::exited() const noexcept {
  return WIFEXITED(raw_);
}
bool ChildStatus::killed() const noexcept {
  return WIFSIGNALED(raw_);
}
bool ChildStatus::stopped() const noexcept {
  return WIFSTOPPED(raw_);
}
int ChildStatus::code() const noexcept {
  return WEXITSTATUS(raw_);
}
int ChildStatus::signal() const noexcept {
  return WIFSTOPPED(raw_) ? WSTOPSIG(raw_) : WTERMSIG(raw_);
}

ChildProcess& ChildProcess::operator=(ChildProcess&& other) noexcept {
  std::swap(pid_, other.pid_);
  return *this;
}

ChildProcess::~ChildProcess() {
  if (pid_ == 0) return;
  kill(SIGKILL);
  join();
}

std::optional<ChildProcess> ChildProcess::try_fork(const std::function<int()>& body, const ForkOptions& options) {
  const pid_t parent = ::getpid();
  const pid_t pid = raw_fork(options);
  if (pid == 0) live(body, options, parent);
  if (pid < 0) return std::nullopt;
  return ChildProcess(pid);
}

ChildProcess ChildProcess::fork(const char* step, const std::function<int()>& body, const ForkOptions& options) {
  std::optional<ChildProcess> child = try_fork(body, options);
  if (!child) throw_errno(step, "fork");
  return std::move(*child);
}

std::optional<ChildProcess> ChildProcess::try_fork_idle(const ForkOptions& options) {
  return try_fork(
      []() -> int {
        for (;;) ::syscall(SYS_pause);
      },
      options);
}

ChildStatus ChildProcess::wait() {
  return wait_checked(std::exchange(pid_, 0), __WALL);
}

std::optional<ChildStatus> ChildProcess::wait_until(Deadline deadline) {
  if (!wait_exit(open_pidfd(pid_).get(), deadline)) return std::nullopt;
  return wait();
}

void ChildProcess::join() noexcept {
  int status = 0;
  if (pid_ != 0) wait_for(std::exchange(pid_, 0), status, __WALL);
}

void ChildProcess::kill(int signal) const noexcept {
  if (pid_ > 0) ::kill(pid_, signal);
}

ChildStatus wait_child(pid_t pid) {
  return wait_checked(pid, __WALL);
}

ChildStatus wait_child_or_stop(pid_t pid) {
  return wait_checked(pid, __WALL | WUNTRACED);
}

pid_t try_reap_any(int& status) {
  for (;;) {
    const pid_t pid = wait_for(-1, status, WNOHANG | __WALL);
    if (pid <= 0 || WIFEXITED(status) || WIFSIGNALED(status)) return pid;
  }
}

void wait_all_children() noexcept {
  int status = 0;
  while (wait_for(-1, status, __WALL) > 0) continue;
}

}  // namespace crx
