#include "common/systemd/service_notifier.hpp"

#include <fmt/format.h>
#include <systemd/sd-daemon.h>

#include <algorithm>

#include "common/base/log.hpp"

namespace crx {
namespace {

void notify(const std::string& text) {
  (void)::sd_notify(0, text.c_str());
}

}  // namespace

ServiceNotifier::ServiceNotifier() {
  uint64_t limit_us = 0;
  if (::sd_watchdog_enabled(0, &limit_us) <= 0) return;
  sign_ms_ = std::max<int64_t>(1, static_cast<int64_t>(limit_us / 1000 / 3));
  next_sign_ = Deadline::in_ms(0);
}

void ServiceNotifier::ready() {
  reloading_ = false;
  notify("READY=1");
}

// The time is for Type=notify-reload of systemd 253 and newer.
void ServiceNotifier::reloading() {
  reloading_ = true;
  notify(fmt::format("RELOADING=1\nMONOTONIC_USEC={}", monotonic_us()));
}

void ServiceNotifier::stopping(const std::string& why) {
  notify(fmt::format("STOPPING=1\nSTATUS=stops: {}", printable(why)));
}

void ServiceNotifier::status(const std::string& text) {
  if (text == status_) return;
  status_ = text;
  notify("STATUS=" + printable(text));
}

void ServiceNotifier::give_sign() {
  if (!next_sign_.passed()) return;
  next_sign_ = Deadline::in_ms(sign_ms_);
  notify("WATCHDOG=1");
}

}  // namespace crx
