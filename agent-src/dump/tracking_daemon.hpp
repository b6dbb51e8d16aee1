// Keeps memory tracking alive between two dumps: a small daemon holds the userfaultfd.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>

#include "common/base/fd.hpp"

namespace crx {

struct KeptTracking {
  Fd userfaultfd;  // a duplicate, owned by this object
  pid_t pid = 0;
  uint64_t start_ticks = 0;  // the process's start time: distinguishes it from a later one with the same PID
  std::string set_id;        // 16 bytes: the set that has the content of all pages that carry a mark
  // The address of the page whose mark was removed last. If it carries a mark again, another process has armed the
  // pages since, and the marks say nothing about the set.
  uint64_t canary = 0;
};

// Tracking daemons listen on sockets in `run_dir`, to which only root has access. There is one for each tracked
// process, and it ends with its process.
class TrackingDaemon {
 public:
  // Returns what the daemon of the process has, or nullopt if there is none or it belongs to an earlier process with
  // this PID.
  static std::optional<KeptTracking> ask(const std::string& run_dir, pid_t pid);
  // Ends the daemon of the process, if there is one; its duplicate of the userfaultfd is closed then. The process runs
  // on.
  static void drop(const std::string& run_dir, pid_t pid);
  // Starts a daemon for tracking.pid, and ends an older one. The daemon has a duplicate of the userfaultfd. To be
  // called from a process with one thread. Throws Error.
  static void start(const std::string& run_dir, const KeptTracking& tracking);
};

}  // namespace crx
