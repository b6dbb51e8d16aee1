// Decides after each pre-copy round whether another one is worth its time.
#pragma once

#include <cstdint>
#include <string_view>

namespace crx {

enum class NonConvergence { accept, throttle, fail };  // --on-no-converge
// Parses accept|throttle|fail; throws Error(refused) otherwise.
NonConvergence parse_non_convergence(std::string_view text);

struct ConvergenceLimits {
  int64_t max_downtime_us = 50'000;  // --max-downtime
  uint32_t max_rounds = 16;          // --max-rounds; 0: stop and copy
  NonConvergence policy = NonConvergence::throttle;
  int64_t fixed_us = 5'000;  // cost of a cutover that sends no page: collecting, rebuilding, committing
  double page_us = 27.0;     // cost of a page sent in the stop (cold, scattered, both hosts); replaced by measurements
};

// The figures of one finished round.
struct RoundOutcome {
  uint64_t dirty_pages = 0;  // pages written during the round before (first round: all pages)
  uint64_t sent_pages = 0;
  int64_t scan_us = 0;
  int64_t round_us = 0;  // from the round's scan until the destination has applied its pages
};

enum class NextStep { round, cutover, throttle, fail };

struct Decision {
  NextStep step = NextStep::round;
  double duty = 1.0;  // for throttle: the share of time for which the tree may run in the next round, 0.05..0.9
  uint64_t expected_pages = 0;  // number of dirty pages if the tree were stopped now
  int64_t expected_us = 0;      // downtime that these pages would cost
};

// A pure function of its inputs: it reads no clock and looks at no process. Expects one call per round, in order.
class Convergence {
 public:
  explicit Convergence(ConvergenceLimits limits) : limits_(limits) {}
  // The decision before any round: cutover at once if max_rounds is 0, otherwise a round.
  Decision start() const;
  // The decision after a round. `throttle` asks for another round at the given duty; `fail` occurs only with policy
  // fail.
  Decision after(const RoundOutcome& outcome);

 private:
  int64_t downtime_us(uint64_t pages) const;
  Decision not_converging(Decision decision);

  ConvergenceLimits limits_;
  uint32_t rounds_ = 0;
  uint32_t stalled_ = 0;  // consecutive rounds that did not shrink the expectation
  double duty_ = 1.0;
  RoundOutcome last_;
  uint64_t best_pages_ = 0;  // the smallest expectation so far, in pages
};

}  // namespace crx
