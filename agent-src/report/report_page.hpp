// The page of --report: a migration that came to be, or why it did not.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "agent-src/report/events.hpp"

namespace crx {

// The content of the page.
struct ReportPage {
  MigrationReport report;  // as far as the migration came
  std::string to;          // HOST:PORT as the user gave it
  bool done = false;       // the tree runs at the destination
  bool check_only = false;
  std::optional<FailedEvent> failure;
  std::vector<PreflightFinding> findings;
};

// Returns one self-contained page (no script, no external resource; light and dark) that draws the phases, the rounds
// and the stop. All figures are those of --json, to the microsecond; elements carry them in data-value.
std::string render_html(const ReportPage& page);

// Collects what the page shows.
class PageObserver final : public MigrationObserver {
 public:
  PageObserver(pid_t pid, std::string to, bool check_only);

  void hello(const HelloEvent& event) override;
  void preflight(const std::vector<PreflightFinding>& findings) override;
  void done(const MigrationReport& report) override;
  void stopped_short(const MigrationReport& report) override;
  void failed(const FailedEvent& event) override;

  // Whether the migration has come to an end that a page can tell: it has moved or failed, or the check is over.
  bool is_complete() const noexcept;
  const ReportPage& page() const noexcept { return page_; }
  // Writes the page beside the target and renames it into place. Throws Error.
  void write(const std::string& path) const;

 private:
  ReportPage page_;
  bool checked_ = false;
};

}  // namespace crx
