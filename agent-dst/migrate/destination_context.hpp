// The data that all states of one migration share at the destination.
#pragma once

#include <optional>

#include "agent-dst/ipc/engine_options.hpp"
#include "common/base/journal.hpp"
#include "common/tool/hook.hpp"
#include "wire/link.hpp"

namespace crx {

// Lives as long as the session; the states receive it as an argument and keep no reference to it. Single-threaded.
struct DestinationContext {
  wire::DestinationLink& link;
  const EngineOptions& options;
  Hook hook;
  std::optional<Journal> journal;  // from Hello on
  wire::Hello hello;

  // root: the PID of the tree's root; 0 before the first layout.
  HookContext hook_context(pid_t root) const { return {options.session, root, options.peer, "destination"}; }
};

}  // namespace crx
