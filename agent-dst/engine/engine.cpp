#include "agent-dst/engine/engine.hpp"

#include "agent-dst/image_store/store_session.hpp"
#include "agent-dst/migrate/destination_session.hpp"
#include "common/base/log.hpp"

namespace crx {

int run_engine(std::unique_ptr<wire::DestinationLink> link, const EngineOptions& options) {
  try {
    auto first = link->receive(Deadline::never());
    const auto* message = first ? std::get_if<wire::SessionMessage>(&*first) : nullptr;
    if (message != nullptr && message->has_hello() && message->hello().has_store()) {
      return StoreSession(*link, options, message->hello()).run();
    }
    DestinationSession session(*link, options);
    return session.run(std::move(first));
  } catch (const std::exception& error) {
    log::error("session {}: {}", options.session, error.what());
    return 1;
  }
}

}  // namespace crx
