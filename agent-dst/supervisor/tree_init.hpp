// The first process (init) of a PID namespace that belongs to one session (--new-pids).
#pragma once

#include <sys/types.h>

#include <functional>

namespace crx::supervisor {

// Forks a child of the caller that is the first process of a new PID namespace and runs `body` (ChildProcess::fork);
// the caller's later children are in its own namespace. Returns the child's PID out here; the caller reaps it. Throws
// Error(kernel).
pid_t fork_init(const std::function<int()>& body);

// The engine's main function; the argument is a descriptor to which it writes the root's PID once the tree runs, see
// EngineOptions::root_resumed.
using InitEngine = std::function<int(int root_pipe)>;

// The main function of that first process. It mounts a /proc of the PID namespace in a new mount namespace, runs
// `engine` in a child, whose PID does not collide with the tree's, and stays until the namespace has no other process.
// It reaps children, forwards signals to the root, and reports to the supervisor over `notices` (ipc::EngineNotice) how
// the engine and the root ended. It keeps no descriptor open except `notices`. Returns its exit status: that of the
// root, in a shell's format, else the engine's.
int run_tree_init(int notices, const InitEngine& engine);

}  // namespace crx::supervisor
