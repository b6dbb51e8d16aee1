// The first process of a PID namespace that one session has for itself (--new-pids).
#pragma once

#include <sys/types.h>

#include <functional>

namespace crx::supervisor {

// Forks a child of the caller that is the first process of a new PID namespace: with fork(2)'s results, and with the
// caller's own namespace for all its later children. Throws Error.
pid_t fork_init();

// What the engine gets: a descriptor to write the root's PID to once it runs, as EngineOptions::root_resumed.
using InitEngine = std::function<int(int tell_root)>;

// The life of that first process: mounts a /proc of the namespace in a mount namespace of its own, runs `engine` in a
// child, whose number is out of the way of the tree's, and stays until nobody is left in the namespace. It reaps,
// passes signals on to the root, and tells the supervisor over `notices` (ipc::EngineNotice) how the engine and the
// root ended. Keeps nothing open but `notices`. Returns its exit status: the root's as a shell shows it, else the
// engine's.
int run_tree_init(int notices, const InitEngine& engine);

}  // namespace crx::supervisor
