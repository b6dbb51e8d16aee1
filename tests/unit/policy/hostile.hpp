// A source that says nothing of what it sends: a process is copied, its images are changed by the test, and an engine
// receives them after an empty preflight.
#pragma once

#include <sys/types.h>

#include <functional>
#include <optional>
#include <string>

#include "agent-dst/policy/policy.hpp"
#include "common/image/image_store.hpp"
#include "common/image/schema/core.pb.h"
#include "common/image/schema/mm.pb.h"
#include "wire/link.hpp"

namespace crx::test {

// What a source sends of one process.
struct CopiedProcess {
  pid_t pid = 0;
  ImageStore images;
  wire::SpaceLayout space;

  // Changes the image of its only thread.
  void change_core(const std::function<void(img::core_entry&)>& change);
  // Changes its mappings as the layout has them, or as mm-PID.img has them.
  void change_layout(const std::function<void(img::mm_entry&)>& change);
  void change_mappings(const std::function<void(img::mm_entry&)>& change);
};

// Copies a process of `threads` threads, which waits, with the test's own privileges. It has ended on return.
CopiedProcess copy_process(unsigned threads = 1);

// What an engine with the policy answers last: "prepared", or the reason and the hint of its failure ("peer: ..." for a
// protocol error). pages: sent before Prepare.
std::string outcome_of(const CopiedProcess& process, const Policy& policy,
                       const std::optional<wire::PagesArrived>& pages = std::nullopt);

}  // namespace crx::test
