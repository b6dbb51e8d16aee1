// The options that the supervisor passes to the engine of a session.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>

#include "agent-dst/policy/policy.hpp"

namespace crx {

struct EngineOptions {
  std::string session;  // 32 hex digits
  std::string peer;     // the source, for messages: "name (address)"
  std::string store;    // the journals are in store/journal
  std::string hook;
  pid_t session_process = 0;           // the process of the session's connections; 0: unknown here
  Policy policy;                       // the rules for this source
  int64_t max_go_timeout_ms = 60'000;  // limit of the time that a source may ask a prepared tree to wait for GO
  int64_t max_urgent_ms = 5'000;       // how long it and the engine keep real-time priority for a source
  bool require_signature = false;      // of sets that are to be stored
  std::string tls_dir, tls_crl;        // the authority and the list of revoked certificates, see AgentOptions
  // The engine calls this once the tree runs, with the session's root task (pid as this process sees it). The
  // supervisor then logs the exit of this child and, if Hello.wait was set, reports Exited to the source, even after
  // this engine has ended.
  std::function<void(pid_t root)> root_resumed;
};

}  // namespace crx
