// The supervisor's handling of connections: the process of each, and what it may ask for.
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <algorithm>
#include <csignal>
#include <utility>

#include "agent-dst/front/limits.hpp"
#include "agent-dst/ipc/packet.hpp"
#include "agent-dst/ipc/session_figures.hpp"
#include "agent-dst/supervisor/status_text.hpp"
#include "agent-dst/supervisor/supervisor.hpp"
#include "common/base/error.hpp"
#include "common/base/log.hpp"

namespace crx::supervisor {
namespace {

constexpr int kAllPackets = 1'000;  // more than a link can hold

sockaddr_storage peer_of(const Fd& socket) {
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  if (::getpeername(socket.get(), reinterpret_cast<sockaddr*>(&address), &length) != 0) address = {};
  return address;
}

}  // namespace

void Supervisor::on_front_notice(const ipc::FrontNotice& notice, std::vector<Fd> fds) {
  using Kind = ipc::FrontNotice::Kind;
  switch (notice.kind) {
    case Kind::ready:
      front_ready_ = true;
      for (const auto& [pid, connection] : connections_) announce(connection);
      ready();
      break;
    case Kind::failed:
      if (!announced_) throw Error(ErrorCode::refused, "starting the front", notice.text.get());
      log::error("the front cannot start: {}", notice.text.get());
      break;
    case Kind::control:
      if (fds.size() == 1) begin_connection(std::move(fds[0]));
      break;
    case Kind::data:
      if (fds.size() == 1) hand_on(std::move(fds[0]), notice.token);
      break;
    default:
      log::warn("the front sent an unknown packet");
  }
}

void Supervisor::begin_connection(Fd socket) {
  if (stopping_) return;
  const sockaddr_storage address = peer_of(socket);
  try {
    Connection connection;
    connection.address = front::address_text(address);
    connection.number = ++connections_begun_;
    Fd signer = link_to_signer(connection.number);
    connection.child =
        fork_session(options_, isolation_, tls_, std::move(socket), std::move(signer), connection.address, mask_);
    const pid_t pid = connection.child.pid;
    // A child's number is not another's before it is reaped, and then it has left its place.
    connection.place = strangers_.enter(front::owner_of(address), [pid] { (void)::kill(pid, SIGKILL); });
    connections_.emplace(pid, std::move(connection));
  } catch (const Error& error) {
    ++events_.counters().connections_refused;
    if (const auto left_out = refusals_.take(monotonic_us())) log::error("{}{}", error.what(), *left_out);
  }
}

// A data connection whose token no session has is closed.
void Supervisor::hand_on(Fd socket, const ipc::Token& token) {
  for (const auto& [pid, connection] : connections_) {
    if (connection.session.empty() || connection.token != token) continue;
    ipc::SupervisorNotice notice;
    notice.kind = ipc::SupervisorNotice::Kind::data;
    notice.text.set(front::address_text(peer_of(socket)));
    const int fd = socket.get();
    return answer(connection, notice, std::span(&fd, 1));
  }
  ++events_.counters().connections_refused;
  if (const auto left_out = refusals_.take(monotonic_us()))
    log::warn("{}: a data connection of no session{}", front::address_text(peer_of(socket)), *left_out);
}

void Supervisor::answer(const Connection& connection, const ipc::SupervisorNotice& notice, std::span<const int> fds) {
  if (!connection.child.link) return;
  (void)ipc::send_packet(connection.child.link.get(), std::as_bytes(std::span(&notice, 1)), {}, fds);
}

void Supervisor::refuse(const Connection& connection, uint32_t tag, const std::string& text, const std::string& hint) {
  ipc::SupervisorNotice notice;
  notice.kind = ipc::SupervisorNotice::Kind::refused;
  notice.tag = tag;
  notice.text.set(text);
  notice.hint.set(hint);
  answer(connection, notice);
}

void Supervisor::to_session(const ipc::SupervisorNotice& notice) {
  if (const Connection* connection = serving(notice.session.get())) answer(*connection, notice);
}

Supervisor::Connection* Supervisor::serving(const std::string& session) {
  const auto found = std::find_if(connections_.begin(), connections_.end(), [&](const auto& entry) {
    return !session.empty() && entry.second.session == session;
  });
  return found == connections_.end() ? nullptr : &found->second;
}

// Reads what the process has sent, at most so many packets.
void Supervisor::on_connection(Connection& connection, int most_packets) {
  for (int i = 0; i < most_packets && connection.child.link; ++i) {
    ipc::SessionNotice notice;
    std::size_t bytes = 0;
    std::vector<Fd> fds;
    const auto result =
        ipc::receive_packet(connection.child.link.get(), std::as_writable_bytes(std::span(&notice, 1)), bytes, fds);
    if (result == ipc::ReceiveResult::would_block) return;
    if (result == ipc::ReceiveResult::received && bytes == sizeof notice) {
      on_session_notice(connection, notice);
      continue;
    }
    // It is ending, or it has sent something invalid.
    if (result == ipc::ReceiveResult::received) (void)::kill(connection.child.pid, SIGKILL);
    connection.child.link.reset();
  }
}

void Supervisor::on_session_notice(Connection& connection, const ipc::SessionNotice& notice) {
  using Kind = ipc::SessionNotice::Kind;
  if (notice.kind == Kind::authenticated) return authenticated(connection, notice);
  if (notice.kind == Kind::turned_away) return turned_away(connection, notice.text.get());
  if (connection.certificate.empty()) return refuse(connection, notice.tag, "the peer has not authenticated", {});
  switch (notice.kind) {
    case Kind::want_engine:
      spawn_engine(connection, notice);
      break;
    case Kind::query:
      answer_query(connection, notice);
      break;
    case Kind::session_closed:
      if (connection.session.empty() || notice.session.get() != connection.session) break;
      events_.closed(notice);
      if (served_ && !stopping_) begin_stop("the session is over");
      break;
    case Kind::session_refused:
      if (!connection.session.empty()) refused_by_preflight(connection.session);
      break;
    default:
      log::warn("the process of {} sent an unknown packet", connection.address);
  }
}

// The signer has told us who the peer is before it answered the process.
void Supervisor::authenticated(Connection& connection, const ipc::SessionNotice& notice) {
  on_signer();
  if (connection.certificate.empty()) return refuse(connection, notice.tag, "the peer has not authenticated", {});
  const auto is_allowed = [this](const std::string& name) {
    return std::find(options_.allow.begin(), options_.allow.end(), name) != options_.allow.end();
  };
  if (!options_.allow.empty() && std::none_of(connection.names.begin(), connection.names.end(), is_allowed)) {
    connection.certificate.clear();
    return refuse(connection, notice.tag, fmt::format("{} is not allowed to move processes here", connection.name),
                  "add it to the agent's --allow");
  }
  const pid_t pid = connection.child.pid;
  if (connection.session.empty())
    connection.place = guests_.enter(connection.certificate, [pid] { (void)::kill(pid, SIGKILL); });
  ipc::SupervisorNotice greeted;
  greeted.kind = ipc::SupervisorNotice::Kind::greeted;
  greeted.tag = notice.tag;
  answer(connection, greeted);
}

// Strangers cause these lines, so their number is limited.
void Supervisor::turned_away(const Connection& connection, const std::string& why) {
  ++events_.counters().connections_refused;
  if (const auto left_out = refusals_.take(monotonic_us())) log::warn("{}: {}{}", connection.address, why, *left_out);
}

void Supervisor::connection_ended(Connection& connection, int status) {
  on_connection(connection, kAllPackets);
  if (connection.session.empty()) {
    if (WIFSIGNALED(status) && !stopping_) turned_away(connection, "its process " + status_text(status));
    return;
  }
  if (status != 0) {
    log::error("session {}: the process of its connections ended ({})", connection.session, status_text(status));
  }
  const ipc::FiguresMemory memory(connection.child.figures, true);
  const ipc::SessionFigures figures = memory.read();
  ipc::AgentCounters& counters = events_.counters();
  ++counters.changes;
  counters.wire_bytes += figures.wire_bytes;
  counters.content_pages += figures.content_pages;
  counters.zero_pages += figures.zero_pages;
  if (figures.downtime_us >= 0) {
    counters.moved_processes += figures.processes;
    ++counters.downtimes;
    counters.downtime_us += static_cast<uint64_t>(figures.downtime_us);
    counters.downtime_buckets.add(ipc::kDowntimeBounds, static_cast<uint64_t>(figures.downtime_us));
    counters.last_downtime_us = static_cast<uint64_t>(figures.downtime_us);
  }
  memory->counted = true;
  ++counters.changes;
  if (board_) board_->closed(connection.session, figures);
  ipc::SupervisorNotice closed;
  closed.kind = ipc::SupervisorNotice::Kind::closed;
  closed.session.set(connection.session);
  to_front(closed);
}

// Tells the front of a session, for the status pages.
void Supervisor::announce(const Connection& connection) {
  if (connection.session.empty() || !metrics_) return;
  ipc::SupervisorNotice notice;
  notice.kind = ipc::SupervisorNotice::Kind::opened;
  notice.session.set(connection.session);
  notice.text.set(connection.peer());
  const int fd = connection.child.figures.get();
  to_front(notice, std::span(&fd, 1));
}

// Connections without a session have nothing to wait for in an agent that stops and serves none any more.
void Supervisor::end_idle_connections() {
  for (const auto& [pid, connection] : connections_) {
    if (connection.session.empty()) (void)::kill(pid, SIGKILL);
  }
}

}  // namespace crx::supervisor
