// What people see on stderr: findings, a live line while memory is copied, and a summary at the end.
#pragma once

#include <cstdint>
#include <string>

#include "agent-src/report/events.hpp"
#include "agent-src/tool/migrate_options.hpp"

namespace crx {

// Writes nothing between freeze() and committed().
class HumanOutput final : public MigrationObserver {
 public:
  struct Settings {
    bool live = false;    // redraw a line; only where a person looks
    bool summary = true;  // false beside --json: only findings and failures then
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
  int64_t began_us_ = 0;  // of what the rate is computed from
  uint64_t began_bytes_ = 0;
  uint32_t round_ = 0;
};

// Whether a live line is wanted on fd.
bool wants_live_line(ProgressMode mode, int fd);

// The end summary: a table of the rounds and one of the cutover, and one line that says what happened.
std::string render_summary(const MigrationReport& report);

}  // namespace crx
