// crx-agent as a function: runs the supervisor with its front and its engines.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent-dst/ipc/engine_options.hpp"
#include "agent-dst/policy/policy.hpp"
#include "common/base/endpoint.hpp"
#include "common/base/log.hpp"
#include "wire/link.hpp"

namespace crx {

// The rules for the sources whose certificate has this name (common name or subjectAltName).
struct PeerPolicy {
  std::string name;
  Policy policy;
};

struct AgentOptions {
  Endpoint listen;                     // port 0: the kernel chooses one
  std::string tls_dir;                 // ca.pem, cert.pem, key.pem; read again at each start of the front and on SIGHUP
  std::string tls_crl;                 // list of revoked certificates; empty: tls_dir/crl.pem, if that exists
  std::string store = "/var/lib/crx";  // journals and image sets; created if missing
  std::string state = "/var/lib/crx";  // the journals of this host's crx-migrate
  bool list = false;                   // print the sessions of this host instead of serving
  bool all = false;                    // with list: those that are finished, too
  bool once = false;                   // serve one session and return its outcome
  int ready_fd = -1;  // "ready PORT\n" is written to it once connections are accepted, then it is closed; -1: none
  std::optional<Endpoint> metrics;  // address of the metrics pages for Prometheus and browsers
  bool json = false;                // events on stdout, see supervisor/agent_events.hpp
  std::string hook;                 // command that is run at the stages of a session
  // certificate names (CN or subjectAltName) that may connect; empty: every certificate of the CA
  std::vector<std::string> allow;
  Policy policy;                         // the rules for all sources that have no section of their own
  std::vector<PeerPolicy> peers;         // [peer NAME] sections; the first whose name a certificate has applies
  bool require_signature = false;        // store only sets that are signed
  unsigned max_sessions = 8;             // limit of engines at a time
  unsigned max_peer_sessions = 0;        // limit of those of one certificate; 0: none
  int64_t idle_timeout_ms = 600'000;     // time limit for a source that sends nothing but pings before Go
  int64_t greeting_timeout_ms = 10'000;  // time limit for the first frame of a connection
  log::Level log_level = log::Level::info;
};

// Finishes sessions of which this host is the source, when their crx-migrate has ended (agent-src/recover).
struct SourceRecovery {
  // Whether the session is one of these; called in the supervisor, must not block.
  std::function<bool(const std::string& state_dir, const std::string& session)> is_left;
  // Called in a process of its own, which SIGTERM may end at any time; returns its exit code.
  std::function<int(const std::string& state_dir, const std::string& session)> finish;
};

// Runs the agent in this process, which must be root and single-threaded; the process becomes the supervisor and forks
// the others. Returns the exit code: with `once` that of the session's engine, else 0 after SIGTERM or SIGINT. Throws
// Error when it cannot start: address in use, unreadable keys, store in use by another agent. engine: the function that
// serves a session in a process of its own; run_engine (engine/engine.hpp), or a test's. reread: called at SIGHUP,
// returns the options anew, of which `allow`, `policy`, `peers` and `require_signature` hold for new sessions; it
// throws to leave them as they were. A service manager learns the agent's state (ServiceNotifier).
using EngineMain = std::function<int(std::unique_ptr<wire::DestinationLink>, const EngineOptions&)>;
using RereadOptions = std::function<AgentOptions()>;
int run_agent(const AgentOptions& options, const EngineMain& engine, const SourceRecovery& recovery = {},
              const RereadOptions& reread = {});

}  // namespace crx
