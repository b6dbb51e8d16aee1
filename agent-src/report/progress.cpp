#include "agent-src/report/progress.hpp"

#include <fmt/format.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "common/base/log.hpp"
#include "common/base/size.hpp"

namespace crx {
namespace {

constexpr std::size_t kDefaultWidth = 80;

// Columns of the terminal on fd.
std::size_t line_width(int fd) {
  winsize size{};
  return ::ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : kDefaultWidth;
}

}  // namespace

std::string render_progress(const ProgressEvent& event, std::size_t width) {
  constexpr std::size_t kMaxCells = 20, kMinCells = 5;
  const uint64_t planned = std::max<uint64_t>(event.bytes_planned, 1);
  const uint64_t done = std::min(event.bytes_done, planned);
  const std::string head = fmt::format("round {} ", event.round);
  std::string text = fmt::format("{:3}%  {} of {}  {}", done * 100 / planned, format_size(event.bytes_done),
                                 format_size(event.bytes_planned), format_rate(event.bytes_per_second, 1'000'000));
  text += event.left_us < 0 ? "" : fmt::format("  {} left", format_duration(event.left_us));
  // A line that wraps cannot be drawn over: the line leaves out what the terminal has no room for.
  const std::size_t taken = head.size() + text.size() + 4;  // with the bar's brackets, a space and the cursor
  std::string bar;
  if (taken + kMinCells <= width) {
    const std::size_t cells = std::min(kMaxCells, width - taken);
    const std::size_t filled = done * cells / planned;
    bar = fmt::format("[{}{}] ", std::string(filled, '#'), std::string(cells - filled, '.'));
  }
  if (const std::string wire = fmt::format("  {} on the wire", format_size(event.bytes_wire));
      taken + kMaxCells + wire.size() <= width)
    text += wire;
  std::string line = head + bar + text;
  if (line.size() >= width) line.resize(width - 1);
  return line;
}

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
  refusals_ = static_cast<std::size_t>(
      std::count_if(findings.begin(), findings.end(), [](const PreflightFinding& finding) { return finding.fatal; }));
  for (const FindingLine& line : render_findings(findings)) {
    print(fmt::format("{}{}: {}\n", line.fatal ? "" : "note: ", line.where, line.text));
  }
  if (settings_.check_only && refusals_ == 0) {
    print(fmt::format("pid {} ({}) can move to {}: nothing stands in its way\n", hello_.pid, printable(hello_.comm),
                      printable(hello_.to)));
  }
}

void HumanOutput::progress(const ProgressEvent& event) {
  if (!settings_.live) return;
  print("\r" + render_progress(event, line_width(fd_)) + "\x1b[K");
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
  std::string text = "crx-migrate: " + printable(event.message) + "\n";
  // The findings have been shown, and the message would say the first of them again.
  if (event.outcome == Outcome::refused && refusals_ > 0)
    text = fmt::format("crx-migrate: process {} cannot be moved, for the {} above\n", event.pid,
                       refusals_ == 1 ? "reason" : fmt::format("{} reasons", refusals_));
  switch (event.outcome) {
    case Outcome::failed:
      if (event.code != ErrorCode::victim_gone) text += "The process runs on here, unharmed.\n";
      break;
    case Outcome::refused:
      text += "Nothing was touched.\n";
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

void HumanOutput::wait_ended(const std::string& why) {
  clear_line();
  print(fmt::format("{}; the program was moved and runs on, and its exit status will not be printed\n", why));
}

}  // namespace crx
