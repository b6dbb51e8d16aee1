// The commit at the destination (docs/architecture.md, "The commit"): the states after everything has been built.
//
// Only build_tree() creates a Prepared, and only Prepared creates a Resuming. receiving.hpp describes how a state
// handles messages.
#pragma once

#include <memory>

#include "agent-dst/migrate/destination_context.hpp"
#include "agent-dst/migrate/received_tree.hpp"
#include "agent-dst/restore/restore_tree.hpp"
#include "common/session/decided_tree.hpp"

namespace crx {

class BuildSteps;

// The state after RESUMING is in the journal: from here on the tree runs at the destination or nowhere.
class Resuming {
 public:
  static constexpr char kWhen[] = "after Go";

  // Writes RESUMED to the journal, lets the tree run and answers with Resumed. Throws Error when a step fails. Before
  // RESUMED the tree does not run then; after it the tree is whole, and runs unless the thaw has failed. The supervisor
  // finishes the session in each of these cases, when this process has ended.
  void run(DestinationContext& context);

  std::unique_ptr<ReceivedTree> tree;

 private:
  friend class Prepared;
  Resuming(std::unique_ptr<ReceivedTree> built, std::unique_ptr<TreeRestore> restore, DecidedTree decided,
           int64_t began_us)
      : tree(std::move(built)), restore_(std::move(restore)), decided_(std::move(decided)), began_us_(began_us) {}
  void release(DestinationContext& context);
  void let_run(DestinationContext& context);
  void end_original(DestinationContext& context) noexcept;
  void join_init(const DestinationContext& context) noexcept;
  void join_scope(const DestinationContext& context) noexcept;

  std::unique_ptr<TreeRestore> restore_;
  DecidedTree decided_;
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
