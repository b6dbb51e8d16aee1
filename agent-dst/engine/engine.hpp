// The engine of one session: a root process of its own, forked by the supervisor, which owns the vessels.
#pragma once

#include <memory>

#include "agent-dst/ipc/engine_options.hpp"
#include "wire/link.hpp"

namespace crx {

// Serves one session to its end and returns the exit code of the process (0: the outcome that the source wanted). The
// first event of the link is Hello. When the agent stops, the link delivers LinkClosed.
int run_engine(std::unique_ptr<wire::DestinationLink> link, const EngineOptions& options);

}  // namespace crx
