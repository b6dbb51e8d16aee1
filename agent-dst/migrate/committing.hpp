// The commit at the destination (docs/architecture.md, "The commit"): the states after everything has been built.
//
// Only build_tree() creates a Prepared, and only Prepared creates a Resuming. receiving.hpp describes how a state
// handles messages.
#pragma once

#include <memory>

#include "agent-dst/migrate/destination_context.hpp"
#include "agent-dst/migrate/received_tree.hpp"
#include "agent-dst/restore/restore_tree.hpp"

namespace crx {

class BuildSteps;

// The state after RESUMING is in the journal: from here on the tree runs at the destination or nowhere.
class Resuming {
 public:
  static constexpr char kWhen[] = "after Go";

  // Lets the tree run, answers with Resumed and writes RESUMED to the journal. Throws Error where the answer cannot be
  // sent or the journal cannot be written; the tree runs in that case, too.
  void run(DestinationContext& context);

  std::unique_ptr<ReceivedTree> tree;

 private:
  friend class Prepared;
  Resuming(std::unique_ptr<ReceivedTree> built, std::unique_ptr<TreeRestore> restore, int64_t began_us)
      : tree(std::move(built)), restore_(std::move(restore)), began_us_(began_us) {}
  void let_run(DestinationContext& context) noexcept;
  void end_original(DestinationContext& context) noexcept;
  void join_init(const DestinationContext& context) noexcept;

  std::unique_ptr<TreeRestore> restore_;
  int64_t began_us_;  // when Go arrived (monotonic_us())
};

// The state after PREPARED is in the journal and the source has been informed: until `go_deadline` the source may send
// Go or Abort, nothing else.
class Prepared {
 public:
  static constexpr char kWhen[] = "after Prepare, when only Go or Abort may come";

  // Acquires the tree's locks and names, freezes the vessels' cgroup and writes RESUMING to the journal. When it
  // throws, the caller must write NEVER.
  Resuming on(const wire::Go& go, DestinationContext& context);

  Deadline go_deadline;
  std::unique_ptr<ReceivedTree> tree;

 private:
  friend Prepared build_tree(std::unique_ptr<ReceivedTree>&, const ForkPlan&, BuildSteps, DestinationContext&);
  Prepared(std::unique_ptr<ReceivedTree> built, std::unique_ptr<TreeRestore> restore, Deadline deadline)
      : go_deadline(deadline), tree(std::move(built)), restore_(std::move(restore)) {}

  std::unique_ptr<TreeRestore> restore_;
};

}  // namespace crx
