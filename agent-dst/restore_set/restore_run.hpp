// A restore: a set of images becomes a running process tree.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>

#include "agent-dst/restore_set/restore_options.hpp"

namespace crx {

// Thrown by run_restore(), before it does anything: the number of the calling process is one of the tree's. Another one
// should do it, best one with the number `better`.
struct NumberIsWanted {
  pid_t better = 0;
};

// Builds the tree and lets it run; its root is a child of our parent. Needs a process of its own with one thread, which
// should end afterwards. about_to_run: called when all is built and nothing runs yet; when it throws, nothing will.
// Returns the root's PID. Throws NumberIsWanted, Error: nothing of the tree is left then.
pid_t run_restore(const RestoreOptions& options, const std::function<void(pid_t)>& about_to_run);

// Whether the set could be restored here, as far as can be told without doing it; what stands against it goes to
// stdout, a line (or, with --json, an object) each. Throws Error where the set is damaged.
bool run_restore_check(const RestoreOptions& options);
// Whether the set was made with --check-only, and can only be checked. False where it cannot be read.
bool is_check_only(const std::string& images_dir) noexcept;

}  // namespace crx
