// Reports the events of an agent's sessions: counters and, with --json, one line per event.
#pragma once

#include <string>

#include "agent-dst/ipc/agent_counters.hpp"
#include "agent-dst/ipc/supervisor_packets.hpp"
#include "agent-dst/supervisor/children.hpp"
#include "agent-dst/supervisor/status_board.hpp"
#include "common/base/endpoint.hpp"

namespace crx::supervisor {

// The outcome of a session, as counted.
enum class SessionEnd { committed, checked, stored, refused, failed, in_doubt };

class AgentEvents {
 public:
  // json_fd: the descriptor to which the lines go, not owned; -1: none. A line is a single write of at most PIPE_BUF
  // bytes. It is left out if the reader does not keep up: an agent never waits for an observer.
  // board: gets the same events for the status page; not owned; may be null.
  AgentEvents(int json_fd, StatusBoard* board);
  ~AgentEvents();

  // One function per event. listening() reports the bound address; opened(), turned_away(), resumed(), ended(),
  // closed() and root_exited() report the steps of a session.
  void listening(const Endpoint& where);
  void opened(const SessionRequest& request);
  void turned_away(const std::string& session, const std::string& peer, ipc::Refusal why, const std::string& message,
                   const std::string& hint);
  // root: in its own PID namespace; host_pid: the root, or the init of that namespace, as this host numbers it.
  void resumed(const std::string& session, pid_t root, pid_t host_pid);
  // state, detail: the last record of the journal. status: the engine's, as from waitpid(2). duration_us: since Hello.
  void ended(const SessionRequest& request, SessionEnd end, const std::string& state, const std::string& detail,
             int status, int64_t duration_us);
  void closed(const ipc::SessionNotice& figures);
  void root_exited(const std::string& session, pid_t root, int status);
  void stopping(const std::string& why);

  ipc::AgentCounters& counters() noexcept { return *counters_; }

 private:
  struct Line;
  void put(const Line& line);

  ipc::SharedCounters counters_;
  int json_fd_;
  StatusBoard* board_;
  bool behind_ = false;  // the last line was left out
};

}  // namespace crx::supervisor
