// What becomes of the sessions of an agent, for those who watch it: counters, and with --json a line for each event.
#pragma once

#include <string>

#include "agent-dst/ipc/agent_counters.hpp"
#include "agent-dst/ipc/supervisor_packets.hpp"
#include "agent-dst/supervisor/children.hpp"
#include "common/base/endpoint.hpp"

namespace crx::supervisor {

// How a session ended, as the counters have it.
enum class SessionEnd { committed, checked, stored, refused, failed, in_doubt };

class AgentEvents {
 public:
  // json_fd: where the lines go; -1: nowhere. It stays the caller's. A line is one write of at most PIPE_BUF bytes,
  // and is left out where the reader does not keep up: an agent never waits for whoever watches it.
  explicit AgentEvents(int json_fd);
  ~AgentEvents();

  void listening(const Endpoint& where);
  void opened(const SessionRequest& request);
  void turned_away(const ipc::FrontNotice& asked, const std::string& message, const std::string& hint);
  void resumed(const std::string& session, pid_t root);
  // state, detail: the journal's last record. status: the engine's, as waitpid gives it.
  void ended(const SessionRequest& request, SessionEnd end, const std::string& state, const std::string& detail,
             int status);
  void closed(const ipc::FrontNotice& figures);
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
