#include "agent-src/dump/dump_store.hpp"

#include "agent-src/dump/agent_store.hpp"
#include "agent-src/dump/directory_store.hpp"

namespace crx {

std::unique_ptr<DumpStore> make_dump_store(const DumpOptions& options) {
  if (options.to.host.empty()) return std::make_unique<DirectoryStore>(options);
  return std::make_unique<AgentStore>(options);
}

}  // namespace crx
