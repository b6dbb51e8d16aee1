// Builds the tasks of the tree from vessels that are mapped and filled.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "agent-dst/migrate/committing.hpp"
#include "agent-dst/migrate/destination_context.hpp"
#include "agent-dst/migrate/received_tree.hpp"
#include "common/base/clock.hpp"

namespace crx {

// The steps of the build and how long each took, for the source's report. `us`: microseconds.
class BuildSteps {
 public:
  void add(const char* name, int64_t us);
  const std::vector<wire::Step>& all() const noexcept { return steps_; }

 private:
  std::vector<wire::Step> steps_;
};

// When a tree that is prepared now stops waiting for GO: as the source asked in Hello, and within the agent's limit.
Deadline go_deadline(const DestinationContext& context);

// Finishes the vessels (VesselTree::finish), builds the tasks from the images in `tree`, runs the hook `prepared`,
// writes PREPARED to the journal and answers with the message Prepared, which contains `steps`. All pages and images
// must have arrived. Takes ownership of `tree` only when all of that has succeeded. When it throws Error, the caller
// still owns `tree`, and its vessels can only be destroyed.
Prepared build_tree(std::unique_ptr<ReceivedTree>& tree, const ForkPlan& finish, BuildSteps steps,
                    DestinationContext& context);

}  // namespace crx
