// Measures how long the steps of some work take, for the tables of the report.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "common/base/clock.hpp"

namespace crx {

// A named step and its duration in microseconds.
struct Step {
  std::string name;
  int64_t us = 0;
};

// Appends one Step per lap to `steps`, which must outlive this object.
class StepClock {
 public:
  explicit StepClock(std::vector<Step>& steps) : steps_(&steps), since_us_(monotonic_us()) {}
  // Appends the time since the previous lap, or since construction, under this name.
  void lap(const char* name) {
    const int64_t now_us = monotonic_us();
    steps_->push_back({name, now_us - std::exchange(since_us_, now_us)});
  }

 private:
  std::vector<Step>* steps_;
  int64_t since_us_;
};

}  // namespace crx
