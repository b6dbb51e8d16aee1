// The child process that does the work of crx-migrate, so that killing the process the user sees does not kill the
// tracer.
#pragma once

#include <cstdint>
#include <functional>

namespace crx {

// A worker that did not end by itself.
struct KilledWorker {
  int signal = 0;        // that ended it
  bool gave_up = false;  // we sent it SIGKILL: it had neither ended nor rolled back in time
};

struct WorkerOptions {
  // Called if a signal has ended the worker, and the processes that it has left behind (the guard) have ended or
  // kLeftBehindMs have passed; its result is that of run_in_worker(). Without it that is 128 + signal.
  std::function<int(const KilledWorker&)> killed;
  int64_t timeout_ms = 0;              // the worker is expected to end by itself when so much time has passed; 0: never
  int64_t grace_ms = kStopGraceMs;     // after a signal or the time-out, until the worker is killed
  std::function<bool()> is_committed;  // asked when the time-out has passed: true lets the worker go on

  static constexpr int64_t kStopGraceMs = 10'000;
  static constexpr int64_t kLeftBehindMs = 5'000;
};

// Runs `body` in a child process, the worker, and returns its result. Passes SIGINT and SIGTERM on to the worker; if
// our process dies, even by SIGKILL, the worker gets SIGTERM. The worker then undoes its changes to the victim at the
// next check_stop(), or finishes if it is past GO. A worker that hangs, since a file lies on storage that does not
// answer, is killed after the grace: the kernel and the guard undo its changes then. Call it before any thread is made.
// Throws Error(kernel).
int run_in_worker(const std::function<int()>& body, const WorkerOptions& options = {});

// In the child: returns whether it has got SIGINT or SIGTERM.
[[nodiscard]] bool stop_requested() noexcept;
// In the child: throws Error(refused) if it has got SIGINT or SIGTERM. To be called wherever the migration can still be
// aborted.
void check_stop();

}  // namespace crx
