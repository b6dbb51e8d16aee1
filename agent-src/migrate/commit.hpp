// The two-phase commit as the source does it, and what follows the verdict (docs/architecture.md, "The commit").
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "agent-src/migrate/cutover.hpp"
#include "agent-src/migrate/migration_context.hpp"
#include "common/base/error.hpp"

namespace crx {

// The decision. `context` must outlive it. Single-threaded: the caller is the tree's tracer.
class Commit {
 public:
  Commit(MigrationContext& context, Prepared prepared);

  // Returns the exit code of crx-migrate; the observer knows how it ended then: the tree runs at the destination, or it
  // runs on here after NEVER, or it is kept frozen in its cgroup, since nobody can tell (Outcome::in_doubt). With
  // --wait the code is 0 and the observer has been told how the program ended. Throws Error for what fails before GO is
  // in the journal: the tree runs on here then, and, where a write lease was lent, the session is aborted.
  int run() &&;

 private:
  struct Verdict {
    std::optional<wire::Resumed> resumed;  // nothing: NEVER
    std::string reason;                    // of NEVER, as far as it is known
  };
  int decide();
  Verdict send_go();
  Verdict await_verdict();
  std::optional<Verdict> receive_verdict(Deadline deadline);
  Verdict ask_for_verdict(Deadline deadline);
  int leave_in_doubt(const Error& error);
  int run_on_here(const std::string& why);
  bool take_back();
  int finish(const wire::Resumed& resumed);
  void report_times(const wire::Resumed& resumed, int64_t now_us);
  void end_original() noexcept;
  void remove_original() noexcept;
  int wait_for_exit();

  MigrationContext& context_;
  Prepared state_;
  int64_t go_us_ = 0;       // when Go was sent (monotonic_us)
  int64_t stopped_us_ = 0;  // as Go says
};

}  // namespace crx
