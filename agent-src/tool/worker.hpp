// The process that does the work of crx-migrate: a child, so that killing what the user sees kills no tracer.
#pragma once

#include <functional>

namespace crx {

// Runs `body` in a child process and returns what it returned (128 + signal if the child was killed). SIGINT and
// SIGTERM are passed on to it; when we die ourselves, by SIGKILL even, it is told to stop as well. The child then
// undoes what it did to the victim at the next check_stop(), or, after GO, goes on to the end. Call before any thread
// is made.
int run_in_worker(const std::function<int()>& body);

// In the child: throws Error(refused) if it was told to stop. Called wherever the migration may still be given up.
void check_stop();

}  // namespace crx
