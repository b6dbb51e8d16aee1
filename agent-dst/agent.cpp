#include "agent-dst/agent.hpp"

#include "agent-dst/engine.hpp"

namespace crx {

int run_agent(const AgentOptions& options) {
  return run_agent(options, run_engine);
}

}  // namespace crx
