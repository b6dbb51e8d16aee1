// The front: the process of crx-agent that accepts connections and finds out whom they are for. Unprivileged; see
// agent-dst/sandbox.
#pragma once

#include <cstdint>

#include "agent-dst/ipc/agent_board.hpp"
#include "agent-dst/ipc/agent_counters.hpp"
#include "common/base/fd.hpp"

namespace crx::front {

struct FrontOptions {
  Fd listener;                              // bound and listening
  Fd supervisor;                            // exchanges packets of ipc/supervisor_packets.hpp
  Fd metrics;                               // listening socket of the metrics pages; may be empty
  ipc::AgentCounters* counters = nullptr;   // not owned
  const ipc::SharedBoard* board = nullptr;  // not owned; null without metrics
  int64_t greeting_timeout_ms = 10'000;     // time limit for the first bytes of a connection
  unsigned max_sessions = 8;
};

// Drops all privileges, sends `ready` (or `failed`) to the supervisor and serves until the supervisor ends or asks it
// to stop. Of a connection it looks at the first byte, and reads the preamble of a data connection (PROTOCOL.md,
// section 2); then the supervisor gets the socket. Returns the exit code. The process must have been forked just before
// and be single-threaded.
int run_front(FrontOptions options);

}  // namespace crx::front
