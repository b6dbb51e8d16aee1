// What all states of one migration share at the destination.
#pragma once

#include <optional>

#include "agent-dst/ipc/engine_options.hpp"
#include "common/base/journal.hpp"
#include "common/tool/hook.hpp"
#include "wire/link.hpp"

namespace crx {

// Lives as long as the session; its states keep nothing of it. Single-threaded.
struct DestinationContext {
  wire::DestinationLink& link;
  const EngineOptions& options;
  Hook hook;
  std::optional<Journal> journal;  // from Hello on
  wire::Hello hello;

  // root: of the tree; 0 before the first layout.
  HookContext hook_context(pid_t root) const { return {options.session, root, options.peer, "destination"}; }
};

}  // namespace crx
