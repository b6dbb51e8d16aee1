#include "agent-dst/engine.hpp"

#include "agent-dst/session.hpp"
#include "common/base/log.hpp"

namespace crx {

int run_engine(std::unique_ptr<wire::DestinationLink> link, const EngineOptions& options) {
  try {
    DestinationSession session(*link, options);
    return session.run();
  } catch (const std::exception& error) {
    log::error("session {}: {}", options.session, error.what());
    return 1;
  }
}

}  // namespace crx
