// Output for people on stderr: findings, a live line while memory is copied, and a summary at the end.
#pragma once

#include <cstddef>
#include <string>

#include "agent-src/report/events.hpp"
#include "agent-src/tool/migrate_options.hpp"

namespace crx {

// Writes nothing between freeze() and committed(), where it would add to the downtime.
class HumanOutput final : public MigrationObserver {
 public:
  struct Settings {
    bool live = false;    // redraw a line; only on a terminal
    bool summary = true;  // false beside --json: only findings and failures are printed then
    bool check_only = false;
  };
  HumanOutput(int fd, Settings settings) : fd_(fd), settings_(settings) {}
  ~HumanOutput() override { clear_line(); }

  void hello(const HelloEvent& event) override;
  void preflight(const std::vector<PreflightFinding>& findings) override;
  void progress(const ProgressEvent& event) override;
  void round(const RoundReport& round) override;
  void freeze() override;
  void done(const MigrationReport& report) override;
  void failed(const FailedEvent& event) override;
  void exited(int wait_status) override;
  void wait_ended(const std::string& why) override;

 private:
  void print(const std::string& text) noexcept;
  void clear_line() noexcept;

  int fd_;
  Settings settings_;
  HelloEvent hello_;
  std::size_t refusals_ = 0;  // fatal findings of the last preflight, which have been printed
  bool line_shown_ = false;
};

// Whether a live line is to be drawn on fd: as `mode` says; if automatic, only on a terminal.
bool wants_live_line(ProgressMode mode, int fd);

// The live line, at most width - 1 characters: the round, a bar, how much of the round's memory is sent, the rate, and
// the time left once the rate is known.
std::string render_progress(const ProgressEvent& event, std::size_t width);

// Returns the final summary: a table of the rounds, one of the cutover, and a line that says what happened.
std::string render_summary(const MigrationReport& report);

}  // namespace crx
