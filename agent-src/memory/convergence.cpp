#include "agent-src/memory/convergence.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "common/base/error.hpp"

namespace crx {
namespace {

constexpr double kShrinks = 0.75;    // a round that leaves less than this share of the pages is worth its time
constexpr uint32_t kStallLimit = 2;  // after so many rounds in a row without that, it has converged or never will
constexpr double kLeastDuty = 0.05;
constexpr uint64_t kFewPages = 32;  // so few pages are not worth another round

}  // namespace

NonConvergence parse_non_convergence(std::string_view text) {
  if (text == "accept") return NonConvergence::accept;
  if (text == "throttle") return NonConvergence::throttle;
  if (text == "fail") return NonConvergence::fail;
  throw Error(ErrorCode::refused, "reading the options", fmt::format("there is no policy '{}'", text))
      .with_hint("one of accept, throttle, fail");
}

int64_t Convergence::downtime_us(uint64_t pages) const {
  return limits_.fixed_us + static_cast<int64_t>(static_cast<double>(pages) * limits_.page_us);
}

Decision Convergence::start() const {
  Decision decision;
  decision.step = limits_.max_rounds == 0 ? NextStep::cutover : NextStep::round;
  return decision;
}

Decision Convergence::after(const RoundOutcome& outcome) {
  // Pages become dirty while a round runs, and the round before tells how fast. A working set is written again and
  // again, so a longer round finds at most proportionally more.
  double rate = 0;  // pages per microsecond
  if (rounds_ > 0 && last_.round_us > 0) {
    rate = static_cast<double>(outcome.dirty_pages) / static_cast<double>(last_.round_us);
  }
  Decision decision;
  const bool known = rounds_ > 0;
  decision.expected_pages = static_cast<uint64_t>(rate * static_cast<double>(outcome.round_us));
  decision.expected_us = downtime_us(decision.expected_pages);
  const bool shrinks = !known || rounds_ == 1 ||
                       static_cast<double>(decision.expected_pages) < kShrinks * static_cast<double>(best_pages_);
  if (known) {
    best_pages_ = rounds_ == 1 ? decision.expected_pages : std::min(best_pages_, decision.expected_pages);
  }
  stalled_ = shrinks ? 0 : stalled_ + 1;
  last_ = outcome;
  ++rounds_;
  const bool fits = known && decision.expected_us <= limits_.max_downtime_us;
  if (fits && (!shrinks || decision.expected_pages <= kFewPages)) {
    decision.step = NextStep::cutover;
    return decision;
  }
  if (rounds_ >= limits_.max_rounds) {
    if (fits || limits_.policy != NonConvergence::fail || !known) {
      decision.step = NextStep::cutover;
    } else {
      decision.step = NextStep::fail;
    }
    return decision;
  }
  if (!fits && stalled_ >= kStallLimit) return not_converging(decision);
  decision.step = duty_ < 1.0 ? NextStep::throttle : NextStep::round;
  decision.duty = duty_;
  return decision;
}

Decision Convergence::not_converging(Decision decision) {
  switch (limits_.policy) {
    case NonConvergence::accept:
      decision.step = NextStep::cutover;
      return decision;
    case NonConvergence::fail:
      decision.step = NextStep::fail;
      return decision;
    case NonConvergence::throttle:
      break;
  }
  if (duty_ <= kLeastDuty) {
    decision.step = NextStep::cutover;
    return decision;
  }
  // Slows the tree down in proportion to the excess of pages, with a margin of 20 %.
  const double room = static_cast<double>(std::max<int64_t>(limits_.max_downtime_us - limits_.fixed_us, 1'000));
  const double cost = static_cast<double>(std::max<int64_t>(decision.expected_us - limits_.fixed_us, 1));
  duty_ = std::clamp(duty_ * std::min(0.8 * room / cost, 0.5), kLeastDuty, 0.9);
  stalled_ = 0;
  best_pages_ = decision.expected_pages;
  decision.step = NextStep::throttle;
  decision.duty = duty_;
  return decision;
}

}  // namespace crx
