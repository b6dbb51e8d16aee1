#include "agent-src/report/progress.hpp"

#include <fmt/format.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "common/base/clock.hpp"
#include "common/base/size.hpp"

namespace crx {
namespace {

constexpr int64_t kRedrawUs = 100'000;

}  // namespace

bool wants_live_line(ProgressMode mode, int fd) {
  if (mode != ProgressMode::automatic) return mode == ProgressMode::always;
  const char* term = std::getenv("TERM");
  return ::isatty(fd) == 1 && term != nullptr && std::strcmp(term, "dumb") != 0;
}

void HumanOutput::print(const std::string& text) noexcept {
  std::string_view rest = text;
  while (!rest.empty()) {
    const ssize_t n = ::write(fd_, rest.data(), rest.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return;  // the reader has closed the pipe; the migration goes on
    rest.remove_prefix(static_cast<std::size_t>(n));
  }
}

void HumanOutput::clear_line() noexcept {
  if (line_shown_) print("\r\x1b[K");
  line_shown_ = false;
}

void HumanOutput::hello(const HelloEvent& event) {
  hello_ = event;
}

void HumanOutput::preflight(const std::vector<PreflightFinding>& findings) {
  clear_line();
  const bool fatal =
      std::any_of(findings.begin(), findings.end(), [](const PreflightFinding& finding) { return finding.fatal; });
  for (const PreflightFinding& finding : findings) {
    print(fmt::format("{}{}: {}: {}{}{}\n", finding.fatal ? "" : "note: ", finding.where, finding.object,
                      finding.reason, finding.remedy.empty() ? "" : "; ", finding.remedy));
  }
  if (settings_.check_only && !fatal) {
    print(fmt::format("pid {} ({}) can move to {}: nothing stands in its way\n", hello_.pid, hello_.comm, hello_.to));
  }
}

void HumanOutput::progress(const ProgressEvent& event) {
  if (!settings_.live) return;
  const int64_t now = monotonic_us();
  if (event.round != round_) {
    round_ = event.round;
    began_us_ = now;
    began_bytes_ = event.bytes_done;
  }
  if (now - drawn_us_ < kRedrawUs) return;
  drawn_us_ = now;
  constexpr uint64_t kCells = 30;
  const uint64_t planned = std::max<uint64_t>(event.bytes_planned, 1);
  const uint64_t filled = std::min(event.bytes_done, planned) * kCells / planned;
  const uint64_t moved = event.bytes_done - std::min(event.bytes_done, began_bytes_);
  print(fmt::format("\rround {} [{}{}] {:3}%  {} of {}  {}  {} on the wire\x1b[K", event.round,
                    std::string(filled, '#'), std::string(kCells - filled, '.'),
                    std::min(event.bytes_done, planned) * 100 / planned, format_size(event.bytes_done),
                    format_size(event.bytes_planned), format_rate(moved, now - began_us_),
                    format_size(event.bytes_wire)));
  line_shown_ = true;
}

void HumanOutput::round(const RoundReport& round) {
  if (!settings_.live || round.is_final) return;
  clear_line();
  print(fmt::format("round {}: {} dirty, {} on the wire, {}\n", round.round, format_size(round.bytes_dirty),
                    format_size(round.bytes_wire), format_us(round.duration_us)));
}

void HumanOutput::freeze() {
  clear_line();
}

void HumanOutput::done(const MigrationReport& report) {
  clear_line();
  if (settings_.summary) print(render_summary(report));
}

void HumanOutput::failed(const FailedEvent& event) {
  clear_line();
  std::string text = "crx-migrate: " + event.message + "\n";
  switch (event.outcome) {
    case Outcome::failed:
      if (event.code != ErrorCode::victim_gone) text += "The process runs on here, unharmed.\n";
      break;
    case Outcome::refused:
      text += "Refused by preflight: nothing was touched.\n";
      break;
    case Outcome::in_doubt:
      text += fmt::format(
          "The original (pid {}) is kept frozen here, because the other host may have resumed it. To settle "
          "it:\n"
          "    crx-migrate --resolve {}\n",
          event.pid, event.session);
      break;
    case Outcome::moved:
    case Outcome::usage:
      break;
  }
  print(text);
}

void HumanOutput::exited(int wait_status) {
  clear_line();
  if (WIFSIGNALED(wait_status)) {
    print(fmt::format("the moved program was ended by signal {} ({})\n", WTERMSIG(wait_status),
                      ::strsignal(WTERMSIG(wait_status))));
  } else {
    print(fmt::format("the moved program exited with status {}\n", WEXITSTATUS(wait_status)));
  }
}

}  // namespace crx
