// Slows a tree down so that pre-copy rounds catch up with its writes.
#pragma once

#include <atomic>
#include <thread>

#include "common/kernel/process/freezer_group.hpp"

namespace crx {

// While this object exists, a thread of ours freezes and thaws the group periodically, so that the tree runs for the
// share `duty` (0..1) of the time. The group is thawed when the destructor returns. The group must outlive this object
// and must not be used by others meanwhile.
class Throttle {
 public:
  // Failures of the thread are logged; the tree then runs at full speed.
  Throttle(FreezerGroup& group, double duty);
  ~Throttle();
  Throttle(const Throttle&) = delete;
  Throttle& operator=(const Throttle&) = delete;

 private:
  void beat(double duty);
  FreezerGroup& group_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace crx
