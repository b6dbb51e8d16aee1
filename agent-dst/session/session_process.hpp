// The process that serves one control connection, and the data connections of its session. Unprivileged; see
// agent-dst/sandbox.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "common/base/fd.hpp"

namespace crx::wire {
struct RemoteKey;
class TlsContext;
}  // namespace crx::wire

namespace crx::session {

struct SessionOptions {
  Fd socket;                             // the connection; nothing has been read from it
  std::string peer;                      // its address, for messages
  Fd supervisor;                         // exchanges packets of ipc/supervisor_packets.hpp
  Fd signer;                             // exchanges packets of ipc/signer_packets.hpp
  Fd figures;                            // ipc::FiguresMemory
  std::shared_ptr<wire::RemoteKey> key;  // what tls signs by; set here
  std::shared_ptr<const wire::TlsContext> tls;
  int64_t greeting_timeout_ms = 10'000;  // time limit for the first message of a connection
  int64_t idle_timeout_ms = 600'000;     // time limit for a source that sends nothing but pings
};

// Drops all privileges and serves the connection until it has ended: a session, a question, or a peer that is turned
// away. Also ends when the supervisor ends. Returns 0. The process must have been forked just before and be
// single-threaded.
int run_session(SessionOptions options);

}  // namespace crx::session
