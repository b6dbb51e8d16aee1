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
  // since_us: the time at which the first lap begins (monotonic_us).
  explicit StepClock(std::vector<Step>& steps, int64_t since_us = monotonic_us())
      : steps_(&steps), since_us_(since_us) {}
  // Appends the time from the previous lap, or from the beginning, until now_us under this name. So the laps are
  // without gaps, and their sum is the time from the beginning to the last of them.
  void lap(const char* name, int64_t now_us = monotonic_us()) {
    steps_->push_back({name, now_us - std::exchange(since_us_, now_us)});
  }

 private:
  std::vector<Step>* steps_;
  int64_t since_us_;
};

}  // namespace crx
