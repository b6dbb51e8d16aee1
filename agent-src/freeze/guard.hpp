// A small process that survives a killed crx-migrate and lets the victim run on.
#pragma once

#include <functional>
#include <string>

#include "common/base/fd.hpp"
#include "common/kernel/process/child_process.hpp"

namespace crx {

// A ptrace stop ends when its tracer dies, but a frozen cgroup does not thaw by itself, and locks that were released
// are not taken again. A child process waits for our end. If the migration's journal then says OPEN, the child calls
// `settle`; after GO it does nothing. The destructor ends the child. Make the Guard before our process has threads, and
// before it opens the journal.
class Guard {
 public:
  // state_dir: the folder that holds the journal. settle is called in the child, when our process is gone with all of
  // its threads, and may throw. Throws Error(kernel).
  Guard(std::string state_dir, std::string session, std::function<void()> settle);
  Guard(const Guard&) = delete;
  Guard& operator=(const Guard&) = delete;
  ~Guard();

 private:
  Fd pipe_;
  ChildProcess child_;
};

}  // namespace crx
