// A small process that survives a killed crx-migrate and thaws the victim.
#pragma once

#include <string>

#include "common/base/fd.hpp"
#include "common/kernel/process/child_process.hpp"

namespace crx {

// A ptrace stop ends when its tracer dies, but a frozen cgroup does not thaw by itself. From guard() on a child process
// waits for our end. If the migration's journal then holds neither GO nor a final record, the child thaws the group and
// dissolves it, and the process runs on where it was. After GO the child touches nothing. The destructor ends the
// child. Make the Guard before our process has threads. It needs no privileges of its own.
class Guard {
 public:
  // state_dir: the folder that holds the journal. Throws Error(kernel).
  Guard(std::string state_dir, std::string session);
  Guard(const Guard&) = delete;
  Guard& operator=(const Guard&) = delete;
  ~Guard();

  // From now on the group at `path` (FreezerGroup::path) is guarded.
  void guard(const std::string& path);

 private:
  Fd pipe_;
  ChildProcess child_;
};

}  // namespace crx
