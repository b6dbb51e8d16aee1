// Where the time goes: laps of one stop-watch, for the report's tables.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "common/base/clock.hpp"

namespace crx {

// A named part of some work and how long it took.
struct Step {
  std::string name;
  int64_t us = 0;
};

// Appends to `steps`, which must outlive it.
class StepClock {
 public:
  explicit StepClock(std::vector<Step>& steps) : steps_(&steps), since_us_(monotonic_us()) {}
  // What was done since the last lap, or since construction.
  void lap(const char* name) {
    const int64_t now_us = monotonic_us();
    steps_->push_back({name, now_us - std::exchange(since_us_, now_us)});
  }

 private:
  std::vector<Step>* steps_;
  int64_t since_us_;
};

}  // namespace crx
