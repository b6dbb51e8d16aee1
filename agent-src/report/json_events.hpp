// Writes the events as JSON for scripts (--json): one object per line on a descriptor.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "agent-src/report/events.hpp"

namespace crx {

// Every line has "event" (hello, preflight, progress, round, freeze, prepared, committed, done, failed) and "t_us", the
// microseconds since this object was made. At most two lines a second are "progress". A line is written at once. While
// the tree is frozen, writing never blocks: the lines that the reader does not take then follow after committed.
class JsonEvents final : public MigrationObserver {
 public:
  // fd stays the caller's. wait: the done line is held back until exited(), and carries "exit_status" (128 + signal if
  // a signal ended the program).
  explicit JsonEvents(int fd, bool wait = false);
  ~JsonEvents() override;

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

 private:
  class Line;
  void put(const Line& line);
  void flush() noexcept;

  int fd_;
  bool wait_;
  bool frozen_ = false;
  int64_t began_us_;
  int64_t progress_us_ = INT64_MIN / 2;  // when the last one was written
  std::string pending_;
  std::optional<MigrationReport> held_;
  std::optional<MigrationReport> short_;  // how far a migration came that failed
  std::optional<int> wait_status_;
  std::string wait_ended_;  // why --wait ended before the program did
};

// Converts a wait status to the form of a shell: the exit code, or 128 + the signal.
int shell_status(int wait_status);

}  // namespace crx
