// Queues of inotify and fanotify on their way into a tree: what the move itself does to files is told in them, too.
#pragma once

#include <vector>

#include "common/base/fd.hpp"

namespace crx {

class EventQueues {
 public:
  enum class Kind { inotify, fanotify };
  // Keeps a duplicate of the description. Throws Error(kernel).
  void add(int fd, Kind kind);
  bool any() const noexcept { return !queues_.empty(); }
  // Takes what waits. Nobody of the tree may run.
  void empty() noexcept;

 private:
  struct Queue {
    Fd fd;
    Kind kind;
  };
  std::vector<Queue> queues_;
};

}  // namespace crx
