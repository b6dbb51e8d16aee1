// Tells the service manager how the agent is: sd_notify(3), sd_watchdog_enabled(3).
#pragma once

#include <cstdint>
#include <string>

#include "common/base/clock.hpp"

namespace crx {

// Does nothing in a process that no service manager has started with a socket for notices ($NOTIFY_SOCKET). Reports
// that cannot be sent are dropped. One thread.
class ServiceNotifier {
 public:
  // Reads the environment, and leaves it as it is: systemd takes reports of the service's first process only
  // (NotifyAccess=main).
  ServiceNotifier();

  void ready();
  // A reload has begun; it is over with the next ready().
  void reloading();
  bool is_reloading() const noexcept { return reloading_; }
  void stopping(const std::string& why);
  // One line for `systemctl status`, sent if it differs from the last one.
  void status(const std::string& text);
  // Sends a sign of life to the watchdog where one is due; next_sign(): when that is, never() without a watchdog.
  void give_sign();
  Deadline next_sign() const noexcept { return next_sign_; }

 private:
  int64_t sign_ms_ = 0;  // time between two signs; 0: no watchdog
  Deadline next_sign_ = Deadline::never();
  bool reloading_ = false;
  std::string status_;
};

}  // namespace crx
