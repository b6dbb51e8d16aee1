#include "agent-src/tool/worker.hpp"

#include <signal.h>
#include <sys/prctl.h>

#include <cstdio>

#include "common/base/backoff.hpp"
#include "common/base/clock.hpp"
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

// Waits until none of our children is left.
void await_orphans(Deadline deadline) {
  int status = 0;
  for (Backoff backoff; !deadline.passed(); backoff.wait()) {
    pid_t pid = 0;
    while ((pid = try_reap_any(status)) > 0) continue;
    if (pid < 0) return;
  }
}

}  // namespace

int run_in_worker(const std::function<int()>& body, const std::function<int(int signal)>& killed) {
  // Orphans of the worker become our children.
  if (killed) ::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
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
  const ChildStatus status = child.wait();
  worker_pid = 0;
  if (!killed || !status.killed()) return status.shell_code();
  await_orphans(Deadline::in_ms(kLeftBehindMs));
  return killed(status.signal());
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
