// A small process that outlives a killed crx-migrate and gives the victim back.
#pragma once

#include <sys/types.h>

#include <string>

#include "common/base/fd.hpp"

namespace crx {

// A stop by ptrace ends when its tracer dies, a frozen cgroup does not thaw by itself. From guard() on a child process
// waits for our end; if the session's journal then holds neither GO nor an end, it thaws the group and dissolves it:
// the process runs on where it was. After GO it touches nothing. Destroying the Guard (or release()) ends the child.
// Made before our process has threads; needs no privileges of its own.
class Guard {
 public:
  Guard(std::string state_dir, std::string session);
  Guard(const Guard&) = delete;
  Guard& operator=(const Guard&) = delete;
  ~Guard();

  // From here on the group at `path` (FreezerGroup::path) is guarded.
  void guard(const std::string& path);

 private:
  Fd pipe_;
  pid_t child_ = 0;
};

}  // namespace crx
