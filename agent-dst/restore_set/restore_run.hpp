// Restores a set of images as a running process tree.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>

#include "agent-dst/restore_set/restore_options.hpp"

namespace crx {

// Thrown by run_restore() before it does anything: the pid of the calling process is needed for the tree. Another
// process should call it, preferably one with the pid `better`.
struct NumberIsWanted {
  pid_t better = 0;
};

// Builds the tree and lets it run; its root is a child of the caller's parent. Needs a process of its own with one
// thread, which should end afterwards. about_to_run: called with the root's pid when everything is built and nothing
// runs yet; if it throws, nothing will run. Returns the root's pid. Throws NumberIsWanted or Error; nothing of the tree
// remains in that case.
pid_t run_restore(const RestoreOptions& options, const std::function<void(pid_t)>& about_to_run);

// Whether the set could be restored on this host, as far as can be determined without doing it. Problems are printed to
// stdout, one line (or, with --json, one object) each. Throws Error if the set is damaged.
bool run_restore_check(const RestoreOptions& options);
// Whether the set was made with --check-only, so that it can only be checked. False if it cannot be read.
bool is_check_only(const std::string& images_dir) noexcept;

}  // namespace crx
