#include "agent-dst/supervisor/agent_events.hpp"

#include <limits.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "common/base/clock.hpp"
#include "common/base/log.hpp"
#include "common/base/page.hpp"

namespace crx::supervisor {
namespace {

using nlohmann::ordered_json;

// Limit for each text in a line, so that a line with several of them is shorter than PIPE_BUF.
constexpr std::size_t kMaxText = 500;

const char* name_of(ipc::Purpose purpose) {
  switch (purpose) {
    case ipc::Purpose::check:
      return "check";
    case ipc::Purpose::store:
      return "store";
    case ipc::Purpose::move:
      break;
  }
  return "move";
}

const char* name_of(SessionEnd end) {
  switch (end) {
    case SessionEnd::committed:
      return "committed";
    case SessionEnd::checked:
      return "checked";
    case SessionEnd::stored:
      return "stored";
    case SessionEnd::refused:
      return "refused";
    case SessionEnd::in_doubt:
      return "in_doubt";
    case SessionEnd::failed:
      break;
  }
  return "failed";
}

int shell_status(int status) {
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

std::string cut(const std::string& text) {
  return text.substr(0, kMaxText);
}

}  // namespace

struct AgentEvents::Line {
  explicit Line(const char* event)
      : json({{"event", event}, {"time", static_cast<double>(clock_ns(CLOCK_REALTIME) / 1000) / 1e6}}) {}
  Line(const char* event, const std::string& session) : Line(event) { json["session"] = session; }
  ordered_json json;
};

AgentEvents::AgentEvents(int json_fd, StatusBoard* board) : json_fd_(json_fd), board_(board) {
  counters_->started_s = static_cast<uint64_t>(clock_ns(CLOCK_REALTIME) / 1'000'000'000);
}

AgentEvents::~AgentEvents() = default;

void AgentEvents::put(const Line& line) {
  if (json_fd_ < 0) return;
  // Bytes that are not UTF-8 (in names that a peer chose) are replaced and do not cause an exception.
  const std::string text = line.json.dump(-1, ' ', false, ordered_json::error_handler_t::replace) + "\n";
  // A pipe that poll(2) reports as writable accepts PIPE_BUF bytes without blocking.
  pollfd event{json_fd_, POLLOUT, 0};
  const bool fits = text.size() <= PIPE_BUF && ::poll(&event, 1, 0) == 1 && (event.revents & POLLOUT) != 0;
  const bool written = fits && ::write(json_fd_, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  if (!written && !behind_) log::warn("the reader of the events on stdout is too slow: some events are left out");
  behind_ = !written;
}

void AgentEvents::listening(const Endpoint& where) {
  Line line("listening");
  line.json["host"] = where.host;
  line.json["port"] = where.port;
  put(line);
}

void AgentEvents::opened(const SessionRequest& request) {
  if (board_ != nullptr) board_->opened(request.session, request.peer, name_of(request.purpose));
  Line line("opened", request.session);
  line.json["peer"] = cut(request.peer);
  line.json["purpose"] = name_of(request.purpose);
  put(line);
}

void AgentEvents::turned_away(const std::string& session, const std::string& peer, ipc::Refusal why,
                              const std::string& message, const std::string& hint) {
  ++counters_->refused;
  ++counters_->refusals.at(static_cast<std::size_t>(why));
  if (board_ != nullptr) board_->turned_away(session, peer, message);
  Line line("turned_away", session);
  line.json["peer"] = cut(peer);
  line.json["message"] = cut(message);
  line.json["hint"] = cut(hint);
  put(line);
}

void AgentEvents::resumed(const std::string& session, pid_t root, pid_t host_pid) {
  ++counters_->running_roots;
  if (board_ != nullptr) board_->resumed(session, root, host_pid);
  Line line("resumed", session);
  line.json["pid"] = root;
  put(line);
}

void AgentEvents::ended(const SessionRequest& request, SessionEnd end, const std::string& state,
                        const std::string& detail, int status, int64_t duration_us) {
  if (board_ != nullptr) board_->ended(request.session, name_of(end), end == SessionEnd::committed ? "" : detail);
  switch (end) {
    case SessionEnd::committed:
      ++counters_->committed;
      counters_->duration_us += static_cast<uint64_t>(duration_us);
      counters_->duration_buckets.add(ipc::kDurationBounds, static_cast<uint64_t>(duration_us));
      break;
    case SessionEnd::checked:
      ++counters_->checked;
      break;
    case SessionEnd::stored:
      ++counters_->stored;
      break;
    case SessionEnd::refused:
      ++counters_->refused;
      ++counters_->refusals.at(static_cast<std::size_t>(ipc::Refusal::preflight));
      break;
    case SessionEnd::failed:
      ++counters_->failed;
      break;
    case SessionEnd::in_doubt:
      ++counters_->in_doubt;
      break;
  }
  Line line("ended", request.session);
  line.json["purpose"] = name_of(request.purpose);
  line.json["outcome"] = name_of(end);
  line.json["state"] = state;
  line.json["detail"] = cut(detail);
  line.json["exit"] = shell_status(status);
  put(line);
}

void AgentEvents::closed(const ipc::SessionNotice& figures) {
  Line line("closed", figures.session.get());
  line.json["processes"] = figures.processes;
  line.json["pages"] = figures.pages;
  line.json["bytes_raw"] = figures.pages * kPageSize;
  line.json["bytes_wire"] = figures.wire_bytes;
  if (figures.downtime_us >= 0) line.json["downtime_us"] = figures.downtime_us;
  put(line);
}

void AgentEvents::root_exited(const std::string& session, pid_t root, int status) {
  if (counters_->running_roots > 0) --counters_->running_roots;
  if (board_ != nullptr) board_->root_exited(session);
  Line line("exited", session);
  line.json["pid"] = root;
  line.json["exit_status"] = shell_status(status);
  put(line);
}

void AgentEvents::stopping(const std::string& why) {
  Line line("stopping");
  line.json["reason"] = why;
  put(line);
}

}  // namespace crx::supervisor
