// The source's part of the two-phase commit, and the steps that follow the verdict (docs/architecture.md, "The
// commit").
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "agent-src/migrate/cutover.hpp"
#include "agent-src/migrate/migration_context.hpp"
#include "common/base/error.hpp"

namespace crx {

// Decides where the tree runs. `context` must outlive it. Single-threaded: the caller is the tree's tracer.
class Commit {
 public:
  Commit(MigrationContext& context, PreparedMove prepared);

  // Returns the exit code of crx-migrate, after the observer was notified of the outcome: the tree runs at the
  // destination; or it runs on here, after NEVER; or it is kept frozen in its cgroup, since the outcome is unknown or a
  // lock could not be taken back (Outcome::in_doubt). With --wait it returns 0 once the program has ended and the
  // observer has its wait status, or once the connection is lost or crx-migrate is asked to stop: the observer learns
  // that the tree runs on at the destination. Throws Error if a step before GO is in the journal fails: the tree runs
  // on here then, and the session is aborted first if a write lease was released.
  int run() &&;

 private:
  struct Verdict {
    std::optional<wire::Resumed> resumed;  // nullopt: the verdict is NEVER
    std::string reason;                    // the reason for NEVER, if it is known
  };
  int decide();
  void check_link();
  std::optional<Verdict> send_go();
  std::optional<Verdict> receive_verdict(Deadline deadline);
  std::optional<Verdict> ask_for_verdict();
  int leave_in_doubt();
  int run_on_here(const std::string& why);
  void record(JournalState state, const std::string& why) noexcept;
  bool take_back();
  int finish(const wire::Resumed& resumed);
  void report_times(const wire::Resumed& resumed, int64_t now_us);
  void add_last_steps(int64_t resume_us, int64_t now_us);
  bool end_original() noexcept;
  void remove_original();
  int wait_for_exit();

  MigrationContext& context_;
  PreparedMove state_;
  bool ends_ = false;         // the original is being ended, or has ended: it must not run again
  int64_t go_us_ = 0;         // the time at which Go was sent (monotonic_us)
  int64_t half_trip_us_ = 0;  // the time that Go takes to arrive
  int64_t stopped_us_ = 0;    // the value that Go carries
};

}  // namespace crx
