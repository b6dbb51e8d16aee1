#include "agent-src/tool/worker.hpp"

#include <signal.h>
#include <sys/prctl.h>

#include <algorithm>
#include <cstdio>
#include <optional>
#include <utility>

#include "common/base/backoff.hpp"
#include "common/base/clock.hpp"
#include "common/base/error.hpp"
#include "common/kernel/process/child_process.hpp"

namespace crx {
namespace {

constexpr int64_t kLookMs = 500;

// Globals, since a signal handler can reach nothing else.
volatile sig_atomic_t told_to_stop = 0;
volatile sig_atomic_t worker_pid = 0;

void note_stop(int) {
  told_to_stop = 1;
}
void pass_on(int signal) {
  told_to_stop = 1;
  if (worker_pid > 0) ::kill(static_cast<pid_t>(worker_pid), signal);
}

void handle(int signal, void (*handler)(int), int flags) {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = flags;
  ::sigaction(signal, &action, nullptr);
}

// Waits for the end of the worker, and kills it when its time is over. Returns nothing if it does not end even then (it
// waits for a device): it is not waited for any more.
std::optional<ChildStatus> watch(ChildProcess& child, const WorkerOptions& options, KilledWorker& end) {
  Deadline give_up =
      options.timeout_ms > 0 ? Deadline::in_ms(options.timeout_ms + options.grace_ms) : Deadline::never();
  bool told = false;
  for (;;) {
    if (auto status = child.wait_until(Deadline::in_ms(std::min(kLookMs, give_up.left_ns() / 1'000'000 + 1))))
      return status;
    if (told_to_stop != 0 && !std::exchange(told, true)) give_up = Deadline::in_ms(options.grace_ms);
    if (!give_up.passed()) continue;
    give_up = Deadline::never();
    if (!told && options.is_committed && options.is_committed()) continue;
    end.gave_up = true;
    child.kill(SIGKILL);
    auto status = child.wait_until(Deadline::in_ms(WorkerOptions::kLeftBehindMs));
    if (!status) child.release();
    return status;
  }
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

int run_in_worker(const std::function<int()>& body, const WorkerOptions& options) {
  // Orphans of the worker become our children.
  if (options.killed) ::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
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
  KilledWorker end;
  const std::optional<ChildStatus> status = watch(child, options, end);
  worker_pid = 0;
  if (status && (!options.killed || !status->killed())) return status->shell_code();
  end.signal = status ? status->signal() : SIGKILL;
  if (!options.killed) return 128 + end.signal;
  await_orphans(Deadline::in_ms(WorkerOptions::kLeftBehindMs));
  return options.killed(end);
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
