// Starts a program without any tie to whoever starts it.
#pragma once

#include <string>
#include <vector>

#include "common/kernel/process/child_process.hpp"

namespace crx {

struct LaunchPlan {
  std::vector<std::string> command;  // the program, sought in PATH, and its arguments; not empty
  std::string output;                // the file to which stdout and stderr are appended; empty: /dev/null
  std::string pidfile;               // gets the PID and a newline before the program runs; empty: none
};

// Starts the program as a child of ours: in a session of its own, without a controlling terminal, with the default
// action for all signals and none blocked, stdin from /dev/null, and no descriptors but 0 to 2. It keeps our user,
// directory, umask, environment, limits and control group. Returns when it runs. Throws Error, and no program runs
// then: `refused` where a file cannot be opened or the program cannot be executed. From a process with one thread.
ChildProcess launch(const LaunchPlan& plan);

}  // namespace crx
