#include "agent-src/freeze/throttle.hpp"

#include <chrono>

#include "common/base/log.hpp"

namespace crx {
namespace {
constexpr std::chrono::microseconds kBeat{10'000};
}

Throttle::Throttle(FreezerGroup& group, double duty) : group_(group), thread_([this, duty] { beat(duty); }) {
  log::info("running the process for {:.0f}% of the time, so that pre-copy can catch up", duty * 100);
}

Throttle::~Throttle() {
  stop_ = true;
  thread_.join();
}

void Throttle::beat(double duty) {
  const auto running = std::chrono::duration_cast<std::chrono::microseconds>(kBeat * duty);
  try {
    while (!stop_) {
      group_.freeze(Deadline::in_ms(1000));
      std::this_thread::sleep_for(kBeat - running);
      group_.thaw();
      std::this_thread::sleep_for(running);
    }
  } catch (const std::exception& error) {
    log::warn("cannot go on slowing the process down: {}", error.what());
  }
}

}  // namespace crx
