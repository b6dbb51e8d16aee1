// Forks the front, the signer, the processes of connections and the engines.
#pragma once

#include <signal.h>
#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent-dst/ipc/agent_board.hpp"
#include "agent-dst/ipc/agent_counters.hpp"
#include "agent-dst/ipc/supervisor_packets.hpp"
#include "agent-dst/sandbox/empty_namespaces.hpp"
#include "agent-dst/supervisor/agent.hpp"
#include "common/base/fd.hpp"
#include "wire/connection/tls_files.hpp"

namespace crx::wire {
struct RemoteKey;
class TlsContext;
}  // namespace crx::wire

namespace crx::supervisor {

// The properties with which a session was opened.
struct SessionRequest {
  std::string session;
  std::string peer;
  std::string certificate;              // its SHA-256
  std::vector<std::string> names = {};  // of the source's certificate
  bool wait = false;
  bool new_pids = false;  // run the tree in a new PID namespace
  ipc::Purpose purpose = ipc::Purpose::move;
};

// For children without privileges: nullopt where they stay in those of the agent.
using Isolation = std::optional<EmptyNamespaces>;

// The front or the signer.
struct ServiceChild {
  pid_t pid = -1;
  Fd link;  // exchanges packets of ipc/supervisor_packets.hpp or ipc/signer_packets.hpp
};

// The TLS of a new connection: without the private key, which the signer has.
struct ConnectionTls {
  std::shared_ptr<wire::RemoteKey> key;  // what the context signs by
  std::shared_ptr<const wire::TlsContext> context;
};

// The process of a connection.
struct SessionChild {
  pid_t pid = -1;
  Fd link;     // exchanges packets of ipc/supervisor_packets.hpp
  Fd figures;  // ipc::FiguresMemory
};

struct EngineChild {
  pid_t pid = -1;  // with new_pids: the first process of the namespace (tree_init.hpp), which outlives the engine
  Fd notices;      // exchanges EngineNotice packets
  Fd session_link, ring;  // to be passed to the session's process
};

// Fork the front, the signer, the process of a connection, or the engine of a session. The children never return from
// these calls. listener, metrics: listening sockets for the front (metrics: -1 for none). files, keys: the keys and
// their number. board: of the status page; may be null. signer: the process's link to the signer. socket, peer: the
// connection, and its address for messages. session_process: the pid of the process that serves the session. mask: the
// signal mask that the child gets. Throw Error.
ServiceChild fork_signer(const AgentOptions& options, const Isolation& isolation, wire::OpenTlsFiles files,
                         uint32_t keys, const sigset_t& mask);
ServiceChild fork_front(const AgentOptions& options, const Isolation& isolation, int listener, int metrics,
                        ipc::AgentCounters& counters, const ipc::SharedBoard* board, const sigset_t& mask);
SessionChild fork_session(const AgentOptions& options, const Isolation& isolation, ConnectionTls tls, Fd socket,
                          Fd signer, const std::string& peer, const sigset_t& mask);
EngineChild fork_engine(const AgentOptions& options, const EngineMain& main, const SessionRequest& request,
                        pid_t session_process, const sigset_t& mask);

// Forks a process that finishes a session of which this host is the source. It gets SIGTERM when we end.
pid_t fork_recovery(const AgentOptions& options, const SourceRecovery& recovery, const std::string& session,
                    const sigset_t& mask);

}  // namespace crx::supervisor
