#include "agent-src/report/report_page.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <utility>

#include "common/base/error.hpp"
#include "common/base/fd.hpp"

namespace crx {

PageObserver::PageObserver(pid_t pid, std::string to, bool check_only) {
  page_.report.pid = pid;
  page_.report.started_ns = clock_ns(CLOCK_REALTIME);
  page_.to = std::move(to);
  page_.check_only = check_only;
}

void PageObserver::hello(const HelloEvent& event) {
  page_.report.session = event.session;
  page_.report.comm = event.comm;
  page_.report.source = event.source;
  page_.report.destination = event.destination;
}

void PageObserver::preflight(const std::vector<PreflightFinding>& findings) {
  page_.findings = findings;
  checked_ = page_.check_only;
}

void PageObserver::done(const MigrationReport& report) {
  page_.report = report;
  page_.done = true;
}

void PageObserver::stopped_short(const MigrationReport& report) {
  page_.report = report;
}

void PageObserver::failed(const FailedEvent& event) {
  page_.failure = event;
  if (page_.report.session.empty()) page_.report.session = event.session;
}

bool PageObserver::is_complete() const noexcept {
  return page_.done || page_.failure || checked_;
}

void PageObserver::write(const std::string& path) const {
  constexpr char kStep[] = "writing the report";
  const std::string temporary = fmt::format("{}.{}.tmp", path, ::getpid());
  const std::string text = render_html(page_);
  const Fd fd = open_checked(temporary, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  const auto give_up = [&](int err) {
    ::unlink(temporary.c_str());
    throw_errno(kStep, path, err);
  };
  std::string_view rest = text;
  while (!rest.empty()) {
    const ssize_t n = ::write(fd.get(), rest.data(), rest.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) give_up(errno);
    rest.remove_prefix(static_cast<std::size_t>(n));
  }
  if (std::rename(temporary.c_str(), path.c_str()) != 0) give_up(errno);
}

}  // namespace crx
