// crx-agent as one call: the supervisor with its front and its engines.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "agent-dst/ipc/engine_options.hpp"
#include "common/base/endpoint.hpp"
#include "common/base/log.hpp"
#include "wire/link.hpp"

namespace crx {

struct AgentOptions {
  Endpoint listen;                     // port 0: the kernel picks one
  std::string tls_dir;                 // ca.pem, cert.pem, key.pem; read again whenever the front is started
  std::string store = "/var/lib/crx";  // journals and image sets; made if missing
  bool once = false;                   // serve one session and return its outcome
  int ready_fd = -1;                // "ready PORT\n" is written there once connections are accepted, then it is closed
  std::optional<Endpoint> metrics;  // where Prometheus and browsers find the agent's figures
  bool json = false;                // events on stdout, see supervisor/agent_events.hpp
  std::string hook;                 // command run at the steps of a session
  std::vector<std::string> allow;   // certificate names (CN or subjectAltName) that may connect; empty: all of the CA
  std::vector<std::pair<uint32_t, uint32_t>> allow_uid;  // uids a moved task may have; empty: all
  uint64_t max_memory = 0;                               // bytes one session may need; 0: no limit
  unsigned max_sessions = 8;                             // engines at a time
  int64_t greeting_timeout_ms = 10'000;  // how long a connection may take until it has said what it wants
  log::Level log_level = log::Level::info;
};

// Runs the agent in this process, which must be root and single-threaded; it becomes the supervisor and forks
// the others. Returns the exit code: with `once` that of the session's engine, else 0 after SIGTERM or
// SIGINT. Throws Error when it cannot start: address in use, unreadable keys, store in use by another agent.
// engine: what serves a session in a process of its own; run_engine (engine/engine.hpp), or a test's.
using EngineMain = std::function<int(std::unique_ptr<wire::DestinationLink>, const EngineOptions&)>;
int run_agent(const AgentOptions& options, const EngineMain& engine);

}  // namespace crx
