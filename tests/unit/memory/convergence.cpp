#include "agent-src/memory/convergence.hpp"

#include <doctest/doctest.h>

#include "common/base/error.hpp"

namespace crx {
namespace {

// A process that writes `rate` random pages of `pages` per ms, over a link that transfers `link` pages per ms.
struct Model {
  double pages, rate, link;
  uint32_t rounds = 0;
  double gap_ms = 0;
  double duty = 1.0;
  RoundOutcome next() {
    const double dirty = rounds == 0 ? pages : std::min(pages, rate * duty * gap_ms);
    gap_ms = 1.0 + dirty / link;
    ++rounds;
    return {static_cast<uint64_t>(dirty), static_cast<uint64_t>(dirty), 1000, static_cast<int64_t>(gap_ms * 1000)};
  }
};

Decision run(Convergence& control, Model& model) {
  Decision decision = control.start();
  while (decision.step == NextStep::round || decision.step == NextStep::throttle) {
    model.duty = decision.duty;
    decision = control.after(model.next());
    REQUIRE(model.rounds <= 100);
  }
  return decision;
}

TEST_CASE("convergence: an idle process takes two rounds") {
  Convergence control({});
  Model model{262144, 0, 200};
  CHECK(run(control, model).step == NextStep::cutover);
  CHECK(model.rounds == 2);
}

TEST_CASE("convergence: 20 MB/s of writes shrink to a few pages") {
  Convergence control({});
  Model model{262144, 5, 200};
  const Decision decision = run(control, model);
  CHECK(decision.step == NextStep::cutover);
  CHECK(decision.expected_pages < 50);
  CHECK(model.rounds <= 8);
}

TEST_CASE("convergence: faster than the link, by policy") {
  ConvergenceLimits limits;
  limits.policy = NonConvergence::accept;
  Model accept{262144, 400, 200};
  Convergence accepting(limits);
  CHECK(run(accepting, accept).step == NextStep::cutover);
  CHECK(accept.rounds < 16);

  limits.policy = NonConvergence::fail;
  Model fail{262144, 400, 200};
  Convergence failing(limits);
  CHECK(run(failing, fail).step == NextStep::fail);

  limits.policy = NonConvergence::throttle;
  limits.max_rounds = 30;
  Model throttle{262144, 400, 200};
  Convergence throttling(limits);
  const Decision decision = run(throttling, throttle);
  CHECK(decision.step == NextStep::cutover);
  CHECK(throttle.duty < 0.5);
  CHECK(decision.expected_us <= limits.max_downtime_us);
}

TEST_CASE("convergence: round limits") {
  ConvergenceLimits limits;
  limits.max_rounds = 0;
  CHECK(Convergence(limits).start().step == NextStep::cutover);
  limits.max_rounds = 3;
  Model model{262144, 400, 200};
  Convergence control(limits);
  CHECK(run(control, model).step == NextStep::cutover);
  CHECK(model.rounds == 3);
}

TEST_CASE("convergence: policies by name") {
  CHECK(parse_non_convergence("accept") == NonConvergence::accept);
  CHECK(parse_non_convergence("throttle") == NonConvergence::throttle);
  CHECK(parse_non_convergence("fail") == NonConvergence::fail);
  CHECK_THROWS_AS(parse_non_convergence("hope"), Error);
}

}  // namespace
}  // namespace crx
