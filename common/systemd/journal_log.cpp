#include "common/systemd/journal_log.hpp"

#include <fmt/format.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <utility>

#include "common/base/fd.hpp"

namespace crx::log {
namespace {

constexpr char kSocket[] = "/run/systemd/journal/socket";

int priority_of(spdlog::level::level_enum level) {
  switch (level) {
    case spdlog::level::critical:
    case spdlog::level::err:
      return LOG_ERR;
    case spdlog::level::warn:
      return LOG_WARNING;
    case spdlog::level::info:
      return LOG_INFO;
    default:
      return LOG_DEBUG;
  }
}

bool send_entry(const std::string& entry) {
  sockaddr_un to{};
  to.sun_family = AF_UNIX;
  std::memcpy(to.sun_path, kSocket, sizeof kSocket);
  const Fd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  return socket && ::sendto(socket.get(), entry.data(), entry.size(), MSG_NOSIGNAL | MSG_DONTWAIT,
                            reinterpret_cast<const sockaddr*>(&to), sizeof to) >= 0;
}

}  // namespace

bool stderr_is_journal() noexcept {
  const char* const named = std::getenv("JOURNAL_STREAM");
  if (named == nullptr) return false;
  char* end = nullptr;
  const unsigned long long device = std::strtoull(named, &end, 10);
  if (*end != ':') return false;
  const unsigned long long inode = std::strtoull(end + 1, &end, 10);
  struct stat file {};
  return *end == '\0' && ::fstat(STDERR_FILENO, &file) == 0 && file.st_dev == device && file.st_ino == inode;
}

std::string_view session_of(std::string_view line) {
  constexpr std::string_view kHead = "session ";
  if (!line.starts_with(kHead)) return {};
  const std::string_view id = line.substr(kHead.size(), line.find(": ") - kHead.size());
  const bool plain = std::all_of(id.begin(), id.end(),
                                 [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || c == '-'; });
  return plain && line.find(": ") != std::string_view::npos ? id : std::string_view();
}

std::string journal_entry(int priority, std::string_view role, std::string_view session, std::string_view line) {
  std::string entry = fmt::format("PRIORITY={}\nSYSLOG_IDENTIFIER=crx-{}\n", priority,
                                  role.starts_with("crx-") ? role.substr(4) : role);
  if (!session.empty()) entry += fmt::format("CRX_SESSION={}\n", session);
  return entry + fmt::format("MESSAGE={}\n", line);
}

namespace {

class JournalSink : public spdlog::sinks::base_sink<std::mutex> {
 public:
  void set_session(std::string session) { session_ = std::move(session); }
  void stay_on_stderr() { may_connect_ = false; }

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    const std::string_view line(message.payload.data(), message.payload.size());
    const std::string_view role(message.logger_name.data(), message.logger_name.size());
    const int priority = priority_of(message.level);
    const std::string_view named = session_of(line);
    if (may_connect_ && send_entry(journal_entry(priority, role, named.empty() ? session_ : named, line))) return;
    const std::string text = fmt::format("<{}>{}\n", priority, line);
    (void)!::write(STDERR_FILENO, text.data(), text.size());
  }
  void flush_() override {}

 private:
  std::string session_;
  bool may_connect_ = true;
};

JournalSink* find_sink() {
  const auto& sinks = spdlog::default_logger_raw()->sinks();
  return sinks.empty() ? nullptr : dynamic_cast<JournalSink*>(sinks.front().get());
}

}  // namespace

void log_to_journal() {
  if (stderr_is_journal()) spdlog::default_logger_raw()->sinks() = {std::make_shared<JournalSink>()};
}

void set_session(const std::string& session) {
  if (JournalSink* const sink = find_sink()) sink->set_session(session);
}

void stay_on_stderr() {
  if (JournalSink* const sink = find_sink()) sink->stay_on_stderr();
}

}  // namespace crx::log
