// The states of a destination session until everything has arrived: which messages may come, and what they do.
//
// A state is a type. A message that may come in it has an on(); what it returns is the next state (nothing: it stays).
// DestinationSession answers any other message with a protocol error. Each on() throws Error, and the state is as good
// as before then: the session still has to remove what it owns.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "agent-dst/migrate/building.hpp"
#include "agent-dst/migrate/destination_context.hpp"
#include "agent-dst/migrate/received_tree.hpp"

namespace crx {

// From the first layout on: there are vessels, and memory comes.
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
  uint32_t round_ = 0;          // of the last mark
  int64_t round_apply_us_ = 0;  // that its parts have taken so far
  uint64_t pages_applied_ = 0;
  BuildSteps steps_;  // of the last round
};

// From Hello to the first layout: preflight, and what the first layout needs.
struct Surveying {
  static constexpr char kWhen[] = "before the first layout";

  void on(const wire::Preflight& preflight, DestinationContext& context);
  void on(const wire::Freeze& freeze, DestinationContext& context);  // --max-rounds 0: the stop comes first
  void on(const wire::Images& images, DestinationContext& context);
  Receiving on(const wire::Layout& layout, DestinationContext& context);

  std::unique_ptr<ReceivedTree> tree = std::make_unique<ReceivedTree>();
};

// Nothing has come yet.
struct Greeting {
  static constexpr char kWhen[] = "before Hello";

  // Opens the journal and answers with Welcome.
  Surveying on(const wire::Hello& hello, DestinationContext& context);
};

}  // namespace crx
