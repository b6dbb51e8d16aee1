// Output for people on stderr: findings, a live line while memory is copied, and a summary at the end.
#pragma once

#include <cstdint>
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

 private:
  void print(const std::string& text) noexcept;
  void clear_line() noexcept;

  int fd_;
  Settings settings_;
  HelloEvent hello_;
  bool line_shown_ = false;
  int64_t drawn_us_ = 0;
  int64_t began_us_ = 0;  // the time at which the rate's measurement began
  uint64_t began_bytes_ = 0;
  uint32_t round_ = 0;
};

// Whether a live line is to be drawn on fd: as `mode` says; if automatic, only on a terminal.
bool wants_live_line(ProgressMode mode, int fd);

// Returns the final summary: a table of the rounds, one of the cutover, and a line that says what happened.
std::string render_summary(const MigrationReport& report);

}  // namespace crx
