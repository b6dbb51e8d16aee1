// The front: the process of crx-agent that talks to the network. Unprivileged; see sandbox.hpp.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "agent-dst/ipc/agent_counters.hpp"
#include "common/base/fd.hpp"

namespace crx::front {

struct FrontOptions {
  Fd listener;                             // bound and listening
  Fd supervisor;                           // exchanges packets of ipc/supervisor_packets.hpp
  Fd metrics;                              // listening socket of the metrics pages; may be empty
  ipc::AgentCounters* counters = nullptr;  // not owned
  std::string tls_dir, tls_crl;
  std::vector<std::string> allow;        // certificate names; empty: every certificate of the CA
  int64_t greeting_timeout_ms = 10'000;  // time limit for the first frame of a connection
  int64_t idle_timeout_ms = 600'000;     // time limit for a source that sends nothing but pings
  unsigned max_sessions = 8;
};

// Reads the keys, drops all privileges, sends `ready` (or `failed`) to the supervisor and serves until the supervisor
// ends or asks it to stop. Returns the exit code. The process must have been forked just before and be single-threaded.
int run_front(FrontOptions options);

}  // namespace crx::front
