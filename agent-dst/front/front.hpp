// The front: the process of crx-agent that hears the network. Unprivileged; see sandbox.hpp.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "agent-dst/ipc/agent_counters.hpp"
#include "common/base/fd.hpp"

namespace crx::front {

struct FrontOptions {
  Fd listener;                             // bound and listening
  Fd supervisor;                           // packets of ipc/supervisor_packets.hpp
  Fd metrics;                              // listens for whoever wants to see the counters; may be none
  ipc::AgentCounters* counters = nullptr;  // not owned
  std::string tls_dir;
  std::vector<std::string> allow;        // names; empty: everybody with a certificate of the CA
  int64_t greeting_timeout_ms = 10'000;  // until a connection has sent its first frame
};

// Reads the keys, gives up all privileges, says `ready` (or `failed`) to the supervisor and serves until the
// supervisor ends or asks it to stop. Returns the exit code. The process must be freshly forked and
// single-threaded.
int run_front(FrontOptions options);

}  // namespace crx::front
