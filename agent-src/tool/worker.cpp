#include "agent-src/tool/worker.hpp"

#include <signal.h>

#include <cstdio>

#include "common/base/error.hpp"
#include "common/kernel/process/child_process.hpp"

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
  // Blocked until the handlers are installed: a signal that comes earlier stays pending.
  sigset_t stops, mask;
  ::sigemptyset(&stops);
  for (const int signal : {SIGINT, SIGTERM}) ::sigaddset(&stops, signal);
  ::sigprocmask(SIG_BLOCK, &stops, &mask);
  const auto work = [&] {
    for (const int signal : {SIGINT, SIGTERM}) handle(signal, note_stop, SA_RESTART);
    ::sigprocmask(SIG_SETMASK, &mask, nullptr);
    const int result = body();
    std::fflush(nullptr);
    return result;
  };
  ChildProcess child = ChildProcess::fork("starting the worker", work, {.parent_death_signal = SIGTERM});
  worker_pid = child.pid();
  for (const int signal : {SIGINT, SIGTERM}) handle(signal, pass_on, SA_RESTART);
  ::sigprocmask(SIG_SETMASK, &mask, nullptr);
  return child.wait().shell_code();
}

bool stop_requested() noexcept {
  return told_to_stop != 0;
}

void check_stop() {
  if (stop_requested()) {
    throw Error(ErrorCode::refused, "moving the process", "crx-migrate was told to stop")
        .with_hint("nothing has moved");
  }
}

}  // namespace crx
