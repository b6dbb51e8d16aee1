// Forking the front and the engines.
#pragma once

#include <signal.h>
#include <sys/types.h>

#include <string>
#include <vector>

#include "agent-dst/ipc/agent_counters.hpp"
#include "agent-dst/ipc/supervisor_packets.hpp"
#include "agent-dst/supervisor/agent.hpp"
#include "common/base/fd.hpp"

namespace crx::supervisor {

// What a session was opened with.
struct SessionRequest {
  std::string session;
  std::string peer;
  bool wait = false;
  bool new_pids = false;  // in a PID namespace of its own
  ipc::Purpose purpose = ipc::Purpose::move;
};

struct FrontChild {
  pid_t pid = -1;
  Fd link;  // packets of ipc/supervisor_packets.hpp
};

struct EngineChild {
  pid_t pid = -1;       // with new_pids: of the namespace's first process (tree_init.hpp), which outlives the engine
  Fd notices;           // EngineNotice both ways
  Fd front_link, ring;  // for the front
};

// `front`: the process that will serve the session. `mask`: the signal mask the children get. The children never return
// from these calls. Throws Error.
// metrics: -1 for none.
FrontChild fork_front(const AgentOptions& options, int listener, int metrics, ipc::AgentCounters& counters,
                      const sigset_t& mask);
EngineChild fork_engine(const AgentOptions& options, const EngineMain& main, const SessionRequest& request, pid_t front,
                        const sigset_t& mask);

}  // namespace crx::supervisor
