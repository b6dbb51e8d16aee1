// Reports the events of an agent's sessions: counters and, with --json, one line per event.
#pragma once

#include <string>

#include "agent-dst/ipc/agent_counters.hpp"
#include "agent-dst/ipc/supervisor_packets.hpp"
#include "agent-dst/supervisor/children.hpp"
#include "common/base/endpoint.hpp"

namespace crx::supervisor {

// The outcome of a session, as counted.
enum class SessionEnd { committed, checked, stored, refused, failed, in_doubt };

class AgentEvents {
 public:
  // json_fd: the descriptor to which the lines go, not owned; -1: none. A line is a single write of at most PIPE_BUF
  // bytes. It is left out if the reader does not keep up: an agent never waits for an observer.
  explicit AgentEvents(int json_fd);
  ~AgentEvents();

  // One function per event. listening() reports the bound address; opened(), turned_away(), resumed(), ended(),
  // closed() and root_exited() report the steps of a session.
  void listening(const Endpoint& where);
  void opened(const SessionRequest& request);
  void turned_away(const std::string& session, const std::string& peer, const std::string& message,
                   const std::string& hint);
  void resumed(const std::string& session, pid_t root);
  // state, detail: the last record of the journal. status: the engine's, as from waitpid(2).
  void ended(const SessionRequest& request, SessionEnd end, const std::string& state, const std::string& detail,
             int status);
  void closed(const ipc::SessionNotice& figures);
  void root_exited(const std::string& session, pid_t root, int status);
  void stopping(const std::string& why);

  ipc::AgentCounters& counters() noexcept { return *counters_; }

 private:
  struct Line;
  void put(const Line& line);

  ipc::SharedCounters counters_;
  int json_fd_;
  bool behind_ = false;  // the last line was left out
};

}  // namespace crx::supervisor
