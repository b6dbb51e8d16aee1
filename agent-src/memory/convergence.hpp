// Decides, round by round, whether another pre-copy round pays.
#pragma once

#include <cstdint>
#include <string_view>

namespace crx {

enum class NonConvergence { accept, throttle, fail };  // --on-no-converge
// Throws Error(refused).
NonConvergence parse_non_convergence(std::string_view text);

struct ConvergenceLimits {
  int64_t max_downtime_us = 50'000;  // --max-downtime
  uint32_t max_rounds = 16;          // --max-rounds; 0: stop and copy
  NonConvergence policy = NonConvergence::throttle;
  int64_t fixed_us = 5'000;  // of a cutover without any page: collecting, rebuilding, committing
  double page_us = 27.0;     // of a last page: cold scattered pages, both sides; replaced as rounds measure
};

// One finished round.
struct RoundOutcome {
  uint64_t dirty_pages = 0;  // found by it: written during the round before (first round: all)
  uint64_t sent_pages = 0;
  int64_t scan_us = 0;
  int64_t round_us = 0;  // from its scan until the destination has applied it
};

enum class NextStep { round, cutover, throttle, fail };

struct Decision {
  NextStep step = NextStep::round;
  double duty = 1.0;            // throttle: the share of time the tree may run during the next round, 0.05..0.9
  uint64_t expected_pages = 0;  // dirty pages if it were stopped now
  int64_t expected_us = 0;      // and the downtime they would cost
};

// Pure: knows no clock and no process. Expects one call per round, in order.
class Convergence {
 public:
  explicit Convergence(ConvergenceLimits limits) : limits_(limits) {}
  // Before any round: cutover at once where max_rounds is 0, else round.
  Decision start() const;
  // After each round. `throttle` asks for another round at that duty; `fail` only with policy fail.
  Decision after(const RoundOutcome& outcome);

 private:
  int64_t downtime_us(uint64_t pages) const;
  Decision not_converging(Decision decision);

  ConvergenceLimits limits_;
  uint32_t rounds_ = 0;
  uint32_t stalled_ = 0;  // rounds in a row that did not shrink the expectation
  double duty_ = 1.0;
  RoundOutcome last_;
  uint64_t best_pages_ = 0;  // smallest expectation so far
};

}  // namespace crx
