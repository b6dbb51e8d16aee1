// The commit at the destination (docs/architecture.md, "The commit"): the states after everything has been built.
//
// Only build_tree makes a Prepared, and only Prepared a Resuming. See receiving.hpp for how states and messages meet.
#pragma once

#include <memory>

#include "agent-dst/migrate/destination_context.hpp"
#include "agent-dst/migrate/received_tree.hpp"
#include "agent-dst/restore/restore_tree.hpp"

namespace crx {

class BuildSteps;

// RESUMING is in the journal: the tree runs here or nowhere.
class Resuming {
 public:
  static constexpr char kWhen[] = "after Go";

  // Lets the tree run and answers with Resumed; writes RESUMED. Throws Error where the source does not hear of it or
  // the journal cannot be written: the tree runs anyway.
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
  int64_t began_us_;  // when Go came
};

// PREPARED is in the journal, and the source knows: until `go_deadline` it may send Go or Abort, nothing else.
class Prepared {
 public:
  static constexpr char kWhen[] = "after Prepare, when only Go or Abort may come";

  // Takes locks and names, freezes the vessels' group and writes RESUMING. When it throws, NEVER has to follow.
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
