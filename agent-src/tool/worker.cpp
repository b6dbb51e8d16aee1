#include "agent-src/tool/worker.hpp"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "common/base/error.hpp"

namespace crx {
namespace {

// Globals, since a signal handler can reach nothing else.
volatile sig_atomic_t told_to_stop = 0;
volatile sig_atomic_t worker_pid = 0;

void note_stop(int) {
  told_to_stop = 1;
}
void pass_on(int signal) {
  if (worker_pid > 0) ::kill(static_cast<pid_t>(worker_pid), signal);
}

void handle(int signal, void (*handler)(int), int flags) {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = flags;
  ::sigaction(signal, &action, nullptr);
}

}  // namespace

int run_in_worker(const std::function<int()>& body) {
  const pid_t parent = ::getpid();
  // Blocked until the handlers are installed: a signal that comes earlier stays pending.
  sigset_t stops, mask;
  ::sigemptyset(&stops);
  for (const int signal : {SIGINT, SIGTERM}) ::sigaddset(&stops, signal);
  ::sigprocmask(SIG_BLOCK, &stops, &mask);
  const pid_t child = ::fork();
  if (child < 0) throw_errno("starting the worker", "fork");
  if (child == 0) {
    for (const int signal : {SIGINT, SIGTERM}) handle(signal, note_stop, SA_RESTART);
    ::sigprocmask(SIG_SETMASK, &mask, nullptr);
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (::getppid() != parent) ::_exit(1);
    const int result = body();
    std::fflush(nullptr);
    ::_exit(result);
  }
  worker_pid = child;
  for (const int signal : {SIGINT, SIGTERM}) handle(signal, pass_on, SA_RESTART);
  ::sigprocmask(SIG_SETMASK, &mask, nullptr);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) throw_errno("waiting for the worker", "waitpid");
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void check_stop() {
  if (told_to_stop != 0) {
    throw Error(ErrorCode::refused, "moving the process", "crx-migrate was told to stop")
        .with_hint("nothing has moved");
  }
}

}  // namespace crx
