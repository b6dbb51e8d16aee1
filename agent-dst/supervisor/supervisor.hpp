// The supervisor of crx-agent: one thread with a poll loop; the parent of the front, the engines and the restored
// roots.
#pragma once

#include <signal.h>
#include <sys/types.h>

#include <deque>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "agent-dst/ipc/supervisor_packets.hpp"
#include "agent-dst/supervisor/agent.hpp"
#include "agent-dst/supervisor/agent_events.hpp"
#include "agent-dst/supervisor/children.hpp"
#include "agent-dst/supervisor/unfinished.hpp"
#include "common/base/clock.hpp"
#include "common/base/fd.hpp"
#include "common/base/log.hpp"

namespace crx::supervisor {

// Blocks SIGTERM, SIGINT, SIGHUP and SIGCHLD permanently, so there is only one, made by run_agent(). Throws Error when
// the agent cannot start.
class Supervisor {
 public:
  // The arguments must outlive the supervisor. run() returns the exit code of the agent, see run_agent().
  Supervisor(const AgentOptions& options, const EngineMain& main, const SourceRecovery& recovery);
  int run();

 private:
  struct Engine {
    SessionRequest request;
    EngineChild child;
    pid_t root = 0;
    // With new_pids, where the init of the PID namespace is the child that is reaped: the engine, or the root, has
    // ended.
    bool ended = false, root_ended = false;
    bool refused = false;  // preflight refused the tree
  };
  struct Root {
    std::string session;
    bool wait = false;
  };

  void start_front();
  void poll_once();
  void on_signal();
  void on_front();
  void on_front_notice(const ipc::FrontNotice& notice);
  void spawn_engine(const ipc::FrontNotice& notice);
  void answer_query(const ipc::FrontNotice& notice);
  void refuse(const ipc::FrontNotice& to, const std::string& text, const std::string& hint);
  void on_engine(Engine& engine);
  void reap();
  void on_exit(pid_t pid, int status);
  static SessionEnd end_of(const Engine& engine, const std::string& state, int status);
  void engine_exited(Engine& engine, int status);
  void init_exited(const Engine& engine, int status);
  void remove_groups(const std::string& session);
  std::size_t open_sessions() const;
  std::size_t open_sessions(const std::string& certificate) const;
  void root_exited(const Root& root, pid_t pid, int status);
  void thawed(const SessionRequest& request, pid_t root);
  void look_for_unfinished();
  bool is_live(const std::string& session) const;
  void to_front(const ipc::SupervisorNotice& notice, std::span<const int> fds = {});
  void refused_by_preflight(const std::string& session);
  void count_now();
  void begin_stop(const char* why);
  void reread_keys() noexcept;
  void ready();

  const AgentOptions& options_;
  const EngineMain& main_;
  sigset_t mask_{};
  Fd signals_;
  Fd listener_;
  Fd metrics_;  // listening socket of the metrics pages, for the front
  AgentEvents events_;
  Deadline next_count_ = Deadline::never();  // with metrics: when the store is counted again
  FrontChild front_;
  bool front_ready_ = false;
  bool announced_ = false;
  Deadline front_start_ = Deadline::in_ms(0);  // earliest time of the next start
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
  log::Quota refusals_{20, 1'000};  // lines about refused sessions
};

}  // namespace crx::supervisor
