// Building: vessels that are mapped and filled become the tasks of the tree.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "agent-dst/migrate/committing.hpp"
#include "agent-dst/migrate/destination_context.hpp"
#include "agent-dst/migrate/received_tree.hpp"

namespace crx {

// Named times for the source's report.
class BuildSteps {
 public:
  void add(const char* name, int64_t us);
  const std::vector<wire::Step>& all() const noexcept { return steps_; }

 private:
  std::vector<wire::Step> steps_;
};

// Everything but the pages has come with `tree`'s images: finishes the vessels (VesselTree::finish), builds the tasks,
// runs the hook `prepared`, writes PREPARED and answers with Prepared, `steps` included. Takes `tree` when all of that
// is done; when it throws Error, `tree` is still the caller's, and its vessels can only be destroyed.
Prepared build_tree(std::unique_ptr<ReceivedTree>& tree, const ForkPlan& finish, BuildSteps steps,
                    DestinationContext& context);

}  // namespace crx
