// The first process (init) of a PID namespace that belongs to one session (--new-pids).
#pragma once

#include <sys/types.h>

#include <functional>

namespace crx::supervisor {

// Forks a child that is the first process of a new PID namespace. Returns as fork(2) does; later children of the caller
// are in the caller's own namespace again. Throws Error.
pid_t fork_init();

// The engine's main function; the argument is a descriptor to which it writes the root's PID once the tree runs, see
// EngineOptions::root_resumed.
using InitEngine = std::function<int(int tell_root)>;

// The main function of that first process. It mounts a /proc of the PID namespace in a new mount namespace, runs
// `engine` in a child, whose PID does not collide with the tree's, and stays until the namespace has no other process.
// It reaps children, forwards signals to the root, and reports to the supervisor over `notices` (ipc::EngineNotice) how
// the engine and the root ended. It keeps no descriptor open except `notices`. Returns its exit status: that of the
// root, in a shell's format, else the engine's.
int run_tree_init(int notices, const InitEngine& engine);

}  // namespace crx::supervisor
