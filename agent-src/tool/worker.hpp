// The child process that does the work of crx-migrate, so that killing the process the user sees does not kill the
// tracer.
#pragma once

#include <cstdint>
#include <functional>

namespace crx {

// Runs `body` in a child process and returns its result. Passes SIGINT and SIGTERM on to the child; if our process
// dies, even by SIGKILL, the child gets SIGTERM. The child then undoes its changes to the victim at the next
// check_stop(), or finishes if it is past GO. If a signal kills the child, `killed` is called with its number, once the
// processes that the child has left behind (the guard) have ended or kLeftBehindMs have passed, and its result is
// returned; without `killed` the result is 128 + signal. Call it before any thread is made. Throws Error(kernel).
int run_in_worker(const std::function<int()>& body, const std::function<int(int signal)>& killed = {});
inline constexpr int64_t kLeftBehindMs = 5'000;

// In the child: returns whether it has got SIGINT or SIGTERM.
[[nodiscard]] bool stop_requested() noexcept;
// In the child: throws Error(refused) if it has got SIGINT or SIGTERM. To be called wherever the migration can still be
// aborted.
void check_stop();

}  // namespace crx
