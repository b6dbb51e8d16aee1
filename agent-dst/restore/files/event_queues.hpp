// The queues of inotify and fanotify descriptors that are being restored: the move itself creates events in them.
#pragma once

#include <vector>

#include "common/base/fd.hpp"

namespace crx {

class EventQueues {
 public:
  enum class Kind { inotify, fanotify };
  // Keeps a duplicate of the description until this object is destroyed. Throws Error(kernel).
  void add(int fd, Kind kind);
  bool any() const noexcept { return !queues_.empty(); }
  // Removes all queued events. No task of the tree may run. Failures are logged.
  void empty() noexcept;

 private:
  struct Queue {
    Fd fd;
    Kind kind;
  };
  std::vector<Queue> queues_;
};

}  // namespace crx
