// The events of a migration, and the interface of those who observe them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "agent-src/report/report.hpp"
#include "common/base/error.hpp"
#include "common/tool/findings.hpp"

namespace crx {

// Exit statuses of crx-migrate; documented, so they do not change.
enum class Outcome : int {
  moved = 0,
  failed = 1,  // the process runs on here unharmed
  usage = 2,
  refused = 3,   // by preflight; nothing was touched
  in_doubt = 4,  // committed but not confirmed: the original stays frozen
};

// A finding of preflight. A fatal one refuses the migration.
using PreflightFinding = Finding;

struct HelloEvent {
  std::string session;
  pid_t pid = 0;
  std::string comm;
  std::string to;  // HOST:PORT as the user gave it
  HostSummary source;
  HostSummary destination;
  int64_t rtt_us = 0;
  std::string tracker;  // that this kernel offers; MigrationReport has the one that was used
};

// The progress of the current round; sent at most every 100 ms.
struct ProgressEvent {
  uint32_t round = 0;
  uint64_t bytes_done = 0;        // of bytes_planned, never more: memory, not what it takes on the connections
  uint64_t bytes_planned = 0;     // found written when the round began
  uint64_t bytes_wire = 0;        // of the whole migration so far
  uint64_t bytes_per_second = 0;  // of bytes_done, over the last few seconds
  int64_t left_us = -1;           // until the round has been sent, at this rate; -1: nothing to go by yet
};

struct FailedEvent {
  Outcome outcome = Outcome::failed;
  std::string session;  // empty if there was none yet
  pid_t pid = 0;
  std::string message;  // one sentence: step: object: reason; remedy
  ErrorCode code = ErrorCode::bug;
};

// Calls come from the engine's thread, in the order of the members; progress() comes any time between preflight() and
// freeze(). Exactly one of done() and failed() ends a migration, except for --check-only without findings, which ends
// after preflight(). An observer must be quick and must not throw: between freeze() and committed() every microsecond
// is downtime.
class MigrationObserver {
 public:
  virtual ~MigrationObserver() = default;
  virtual void hello(const HelloEvent& /*event*/) {}
  virtual void preflight(const std::vector<PreflightFinding>& /*findings*/) {}
  virtual void progress(const ProgressEvent& /*event*/) {}
  virtual void round(const RoundReport& /*round*/) {}
  virtual void freeze() {}
  // The destination has built the whole tree; the cutover is measured up to here.
  virtual void prepared(const CutoverReport& /*cutover*/) {}
  // RESUMED has arrived: the tree runs at the destination.
  virtual void committed() {}
  virtual void done(const MigrationReport& /*report*/) {}
  // The figures of a migration that ends without done(), as far as it came: it failed, was refused, or has only been
  // checked (--check-only). Precedes failed(); not called if it failed before it began.
  virtual void stopped_short(const MigrationReport& /*report*/) {}
  // Called by main when run_migration throws. The migration itself calls it only if it returns without throwing
  // (Outcome::in_doubt).
  virtual void failed(const FailedEvent& /*event*/) {}
  // With --wait, after done(): the moved program has ended; the argument is a status of waitpid(2).
  virtual void exited(int /*wait_status*/) {}
  // With --wait, after done(), in place of exited(): crx-migrate waits no longer, and the moved program runs on.
  virtual void wait_ended(const std::string& /*why*/) {}
};

// Passes every event on to several observers, and remembers what main needs for the exit status.
class ObserverList final : public MigrationObserver {
 public:
  // pid: used for a failure before hello().
  explicit ObserverList(pid_t pid) : pid_(pid) {}

  // Observers are called in the order in which they were added; they must outlive the list.
  void add(MigrationObserver& observer) { observers_.push_back(&observer); }

  void hello(const HelloEvent& event) override;
  void preflight(const std::vector<PreflightFinding>& findings) override;
  void progress(const ProgressEvent& event) override;
  void round(const RoundReport& round) override;
  void freeze() override;
  void prepared(const CutoverReport& cutover) override;
  void committed() override;
  void done(const MigrationReport& report) override;
  void stopped_short(const MigrationReport& report) override;
  void failed(const FailedEvent& event) override;
  void exited(int wait_status) override;
  void wait_ended(const std::string& why) override;

  // Returns the outcome of a run_migration that threw `error`: refused if preflight was not passed and the error says
  // that the process or the hosts do not allow the move; failed otherwise. Calls failed() on the observers, unless it
  // was called before.
  Outcome conclude(const Error& error);
  // Returns the outcome of a run_migration that returned: the same value. Calls failed() on the observers if the
  // outcome is no success and they were not told (a refusal that the findings of preflight explain).
  Outcome conclude(int exit_code);

  const std::optional<int>& wait_status() const noexcept { return wait_status_; }

 private:
  std::vector<MigrationObserver*> observers_;
  std::string session_;
  pid_t pid_;
  bool preflight_passed_ = false;
  std::vector<PreflightFinding> fatal_;  // from the last preflight
  std::optional<FailedEvent> failure_;
  std::optional<int> wait_status_;
};

}  // namespace crx
