// Keeps the lists of the agent's status page: trees that run here, the last sessions, sets in the store.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "agent-dst/ipc/agent_board.hpp"
#include "agent-dst/ipc/session_figures.hpp"
#include "common/base/clock.hpp"
#include "common/proc/proc_dir.hpp"

namespace crx::supervisor {

// Used by the supervisor alone; no function throws or waits for anything but /proc and the store.
class StatusBoard {
 public:
  explicit StatusBoard(std::string store) : store_(std::move(store)) {}

  // To be called first, once the journals are settled: adds what an earlier agent has left, its sessions as the
  // journals of the store have them, and its trees that still run.
  void inherit() noexcept;

  // The steps of a session. peer: for people. host_pid: the root, or the init of its PID namespace, as this host
  // numbers it; pid: the root in its own PID namespace.
  void opened(const std::string& session, const std::string& peer, const char* purpose);
  void turned_away(const std::string& session, const std::string& peer, const std::string& why);
  void resumed(const std::string& session, pid_t pid, pid_t host_pid);
  void ended(const std::string& session, const char* outcome, const std::string& detail);
  void closed(const std::string& session, const ipc::SessionFigures& figures);
  void root_exited(const std::string& session);

  // Reads the memory of the trees and, every kStoreMs, the store; notices the end of trees that are not the agent's
  // children. Shows all that is known to the front.
  void refresh() noexcept;
  void look_at_store() noexcept;
  std::size_t trees() const noexcept { return trees_.size(); }
  std::size_t sets() const noexcept { return all_sets_; }
  const ipc::SharedBoard& shared() const noexcept { return shared_; }

  static constexpr int64_t kStoreMs = 15'000;

 private:
  struct Tree {
    ipc::BoardTree shown;
    std::optional<ProcDir> root;
    bool inherited = false;  // of an earlier agent, so nobody tells us when it ends
  };
  struct Open {
    std::string peer;
    int64_t began_us = 0;
  };

  void add_earlier();
  void measure(Tree& tree) const;
  ipc::BoardSession& entry(const std::string& session);
  void publish() noexcept;

  std::string store_;
  ipc::SharedBoard shared_;
  std::deque<Tree> trees_;               // the newest first
  std::deque<ipc::BoardSession> ended_;  // the newest first; without an outcome: not ended yet
  std::map<std::string, Open> open_;
  std::deque<ipc::BoardSet> sets_;
  std::size_t all_sets_ = 0;
  Deadline next_store_ = Deadline::in_ms(0);
};

}  // namespace crx::supervisor
