// The states of a destination session until everything has arrived, and how they handle messages.
//
// A state is a type. It has an on() for each message that is allowed in it. An on() returns the next state, or void if
// the state stays. DestinationSession answers any other message with a protocol error. Each on() may throw Error. The
// state still owns everything then, and the session has to remove that.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "agent-dst/migrate/building.hpp"
#include "agent-dst/migrate/destination_context.hpp"
#include "agent-dst/migrate/received_tree.hpp"

namespace crx {

// The state from the first layout on: vessels exist, and memory arrives.
class Receiving {
 public:
  static constexpr char kWhen[] = "while memory is received";
  explicit Receiving(std::unique_ptr<ReceivedTree> received) : tree(std::move(received)) {}

  void on(const wire::Layout& layout, DestinationContext& context);
  void on(const wire::PagesArrived& pages, DestinationContext& context);
  void on(const wire::Holes& holes, DestinationContext& context);
  void on(const wire::RoundEnded& ended, DestinationContext& context);
  void on(const wire::Freeze& freeze, DestinationContext& context);
  void on(const wire::Images& images, DestinationContext& context);
  void on(const wire::Verify& verify, DestinationContext& context);
  void on(const wire::WrittenFiles& written, DestinationContext& context);
  Prepared on(const wire::Prepare& prepare, DestinationContext& context);

  std::unique_ptr<ReceivedTree> tree;

 private:
  int64_t apply_us_ = 0;
  uint32_t round_ = 0;          // of the last RoundEnded
  int64_t round_apply_us_ = 0;  // the time that this round's parts have taken so far
  uint64_t pages_applied_ = 0;
  BuildSteps steps_;  // of the last round
};

// The state from a preflight without a fatal finding to the first layout: it receives the images that the first layout
// needs. The tree may still break a rule of this host, since preflight is what the source says of it.
class Surveyed {
 public:
  static constexpr char kWhen[] = "before the first layout";

  void on(const wire::Freeze& freeze, DestinationContext& context);  // --max-rounds 0: the stop comes first
  void on(const wire::Images& images, DestinationContext& context);
  Receiving on(const wire::Layout& layout, DestinationContext& context);

  std::unique_ptr<ReceivedTree> tree;

 private:
  friend struct Surveying;
  Surveyed(const Policy& policy, FileRules rules) : tree(std::make_unique<ReceivedTree>(policy, std::move(rules))) {}
};

// The state from Hello on: nothing but a preflight may come, again where it was refused.
struct Surveying {
  static constexpr char kWhen[] = "before a preflight without refusals";

  // Answers with the findings; returns the next state where none of them is fatal.
  std::optional<Surveyed> on(const wire::Preflight& preflight, DestinationContext& context);
};

// The first state: no message has arrived yet.
struct Greeting {
  static constexpr char kWhen[] = "before Hello";

  // Opens the journal and answers with Welcome.
  Surveying on(const wire::Hello& hello, DestinationContext& context);
};

}  // namespace crx
