// The supervisor of crx-agent: one thread with a poll loop; the parent of the front, the processes of connections, the
// engines and the restored roots.
#pragma once

#include <signal.h>
#include <sys/types.h>

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "agent-dst/front/crowd.hpp"
#include "agent-dst/ipc/signer_packets.hpp"
#include "agent-dst/ipc/supervisor_packets.hpp"
#include "agent-dst/supervisor/agent.hpp"
#include "agent-dst/supervisor/agent_events.hpp"
#include "agent-dst/supervisor/children.hpp"
#include "agent-dst/supervisor/status_board.hpp"
#include "agent-dst/supervisor/unfinished.hpp"
#include "common/base/clock.hpp"
#include "common/base/fd.hpp"
#include "common/base/log.hpp"
#include "common/systemd/service_notifier.hpp"

namespace crx::supervisor {

// Blocks SIGTERM, SIGINT, SIGHUP and SIGCHLD permanently, so there is only one, made by run_agent(). Throws Error when
// the agent cannot start.
class Supervisor {
 public:
  // The arguments must outlive the supervisor. run() returns the exit code of the agent, see run_agent().
  // options: its policy is replaced at each SIGHUP by what `reread` returns, if that is set.
  Supervisor(AgentOptions& options, const EngineMain& main, const SourceRecovery& recovery,
             const RereadOptions& reread);
  int run();

 private:
  struct Engine {
    SessionRequest request;
    EngineChild child;
    int64_t began_us = monotonic_us();
    pid_t root = 0;
    // With new_pids, where the init of the PID namespace is the child that is reaped: the engine, or the root, has
    // ended.
    bool ended = false, root_ended = false;
    bool refused = false;  // preflight refused the tree
  };
  // A connection that is served by a process of its own.
  struct Connection {
    std::string address;  // the peer's, for messages
    uint64_t number = 0;  // by which the signer names it
    SessionChild child;
    front::Crowd::Place place;  // among strangers, then among guests; empty once a session was opened
    // These come from the signer. certificate: the peer's SHA-256; empty: the peer has not authenticated.
    std::string certificate;
    std::string name;                // the first of `names`, for messages
    std::vector<std::string> names;  // of the peer's certificate
    std::string session;             // empty: none was opened
    ipc::Token token{};              // of the session's data connections
    std::string peer() const { return name + " (" + address + ")"; }
  };
  struct Root {
    std::string session;
    bool wait = false;
  };

  void isolate() noexcept;
  void start_front();
  // signing.cpp
  void start_signer();
  void on_signer();
  void on_signer_notice(const ipc::SignerNotice& notice);
  Fd link_to_signer(uint64_t connection);
  void reread_keys() noexcept;
  void reloaded();
  void reload();
  void reread_policy() noexcept;
  void report_status();
  void poll_once();
  void on_signal();
  void on_front();
  void on_front_notice(const ipc::FrontNotice& notice, std::vector<Fd> fds);
  // connections.cpp
  void begin_connection(Fd socket);
  void hand_on(Fd socket, const ipc::Token& token);
  void on_connection(Connection& connection, int most_packets);
  void on_session_notice(Connection& connection, const ipc::SessionNotice& notice);
  void authenticated(Connection& connection, const ipc::SessionNotice& notice);
  void turned_away(const Connection& connection, const std::string& why);
  void connection_ended(Connection& connection, int status);
  void end_idle_connections();
  void announce(const Connection& connection);
  Connection* serving(const std::string& session);
  static void answer(const Connection& connection, const ipc::SupervisorNotice& notice, std::span<const int> fds = {});
  static void refuse(const Connection& connection, uint32_t tag, const std::string& text, const std::string& hint);
  // sessions.cpp
  void spawn_engine(Connection& connection, const ipc::SessionNotice& notice);
  void answer_query(const Connection& connection, const ipc::SessionNotice& notice);
  void refuse_session(const Connection& connection, const ipc::SessionNotice& asked, ipc::Refusal why,
                      const std::string& text, const std::string& hint);
  void on_engine(Engine& engine);
  void reap();
  void on_exit(pid_t pid, int status);
  static SessionEnd end_of(const Engine& engine, const std::string& state, int status);
  void engine_exited(Engine& engine, int status);
  void init_exited(const Engine& engine, int status);
  static void remove_groups();
  std::size_t open_sessions() const;
  std::size_t open_sessions(const std::string& certificate) const;
  void root_exited(const Root& root, pid_t pid, int status);
  void thawed(const SessionRequest& request, pid_t root);
  void look_for_unfinished();
  bool is_live(const std::string& session) const;
  void to_front(const ipc::SupervisorNotice& notice, std::span<const int> fds = {});
  void refused_by_preflight(const std::string& session);
  void measure();
  void begin_stop(const char* why);
  void to_session(const ipc::SupervisorNotice& notice);
  void ready();

  AgentOptions& options_;
  const EngineMain& main_;
  const RereadOptions& reread_;
  ServiceNotifier service_manager_;
  sigset_t mask_{};
  Fd signals_;
  Fd listener_;
  Fd metrics_;                        // listening socket of the metrics pages, for the front
  std::optional<StatusBoard> board_;  // with metrics
  AgentEvents events_;
  Deadline next_measure_ = Deadline::never();  // with metrics
  Isolation isolation_;
  ServiceChild front_, signer_;
  bool front_ready_ = false, signer_ready_ = false;
  bool announced_ = false;
  // The earliest times of the next start.
  Deadline front_start_ = Deadline::in_ms(0), signer_start_ = Deadline::in_ms(0);
  // The TLS of new connections, with the number of its keys; and those that the signer has not answered yet.
  ConnectionTls tls_, next_tls_;
  uint32_t keys_ = 0, last_keys_ = 0;
  uint64_t connections_begun_ = 0;
  front::Crowd strangers_;  // connections that have not authenticated, by address
  front::Crowd guests_;     // those that have, and have no session, by certificate
  std::map<pid_t, Connection> connections_;
  std::map<pid_t, Engine> engines_;
  std::map<pid_t, Root> roots_;
  std::optional<Unfinished> unfinished_;
  Deadline next_look_ = Deadline::in_ms(0);         // for unfinished sessions
  std::deque<std::pair<pid_t, int>> recent_exits_;  // children that no engine has announced yet
  bool stopping_ = false;
  Deadline stop_by_ = Deadline::never();
  bool served_ = false;  // --once: the engine of the session has ended
  Deadline once_close_ = Deadline::never();
  int outcome_ = 0;
  log::Quota refusals_{20, 1'000};  // lines about refused sessions and connections
};

}  // namespace crx::supervisor
