// Looks for sessions of this host that nobody works on any more, and has them finished.
#pragma once

#include <signal.h>
#include <sys/types.h>

#include <functional>
#include <map>
#include <set>
#include <string>

#include "agent-dst/supervisor/agent.hpp"
#include "agent-dst/supervisor/verdicts.hpp"
#include "common/base/clock.hpp"

namespace crx::supervisor {

// As the destination: sessions whose engine has ended, but which could not be settled at once. As the source: sessions
// whose crx-migrate has ended; each is finished in a child process, which asks the destination until it answers. Used
// by the supervisor alone.
class Unfinished {
 public:
  // The arguments must outlive the object. Settles what an earlier agent has left; a session that cannot be settled yet
  // is tried again by look().
  Unfinished(const AgentOptions& options, const SourceRecovery& recovery, const sigset_t& mask);

  // Tries again to settle this session of which this host is the destination.
  void add(const std::string& session) { unsettled_.insert(session); }
  // To be called every kLookMs. is_live: whether an engine serves the session. settled: called for each session of
  // `add` that is settled now. Never throws.
  void look(const std::function<bool(const std::string&)>& is_live,
            const std::function<void(const std::string&, const Verdict&)>& settled) noexcept;
  // Returns whether the child process that has ended was one of these. If it has failed (status: of waitpid(2)), the
  // session is tried again after kRetryMs.
  bool reaped(pid_t pid, int status);

  static constexpr int64_t kLookMs = 1'000;
  static constexpr int64_t kRetryMs = 60'000;
  static constexpr int64_t kSettleAgainMs = 5'000;  // the time between two attempts to settle a session here

 private:
  void take_over() noexcept;
  bool is_postponed(const std::string& session) const;

  const AgentOptions& options_;
  const SourceRecovery& recovery_;
  const sigset_t& mask_;
  std::set<std::string> unsettled_;
  std::map<pid_t, std::string> children_;   // they finish these sessions
  std::map<std::string, Deadline> failed_;  // they are tried again then
  std::set<std::string> finished_;          // sessions that need not be looked at again
};

}  // namespace crx::supervisor
