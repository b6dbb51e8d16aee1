// What keeps memory tracking alive between two dumps: a small process that holds the userfaultfd.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>

#include "common/base/fd.hpp"

namespace crx {

struct KeptTracking {
  Fd userfaultfd;  // a duplicate
  pid_t pid = 0;
  uint64_t start_ticks = 0;  // of the process: tells reused PIDs apart
  std::string set_id;        // 16 bytes: the set whose pages are those that carry marks
  // A page whose mark was taken off last of all. Carries it a mark now, then somebody else has armed pages meanwhile,
  // and the marks say nothing about the set.
  uint64_t canary = 0;
};

// Tracking daemons listen on sockets in `run_dir` (root only), one for each process; a keeper ends with its process.
class TrackingDaemon {
 public:
  // What the keeper of the process knows; nothing where there is none, or it speaks of another process.
  static std::optional<KeptTracking> ask(const std::string& run_dir, pid_t pid);
  // Ends the keeper, if there is one: its duplicate of the userfaultfd is closed then.
  static void drop(const std::string& run_dir, pid_t pid);
  // Starts a keeper, in place of an older one. From a process with one thread. Throws Error.
  static void start(const std::string& run_dir, const KeptTracking& tracking);
};

}  // namespace crx
