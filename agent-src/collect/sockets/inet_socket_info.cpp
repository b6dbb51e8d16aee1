#include "agent-src/collect/sockets/inet_socket_info.hpp"

#include <netinet/in.h>
#include <sys/socket.h>

#include <optional>

#include "agent-src/collect/sockets/socket_options.hpp"
#include "common/base/error.hpp"
#include "common/kernel/process/pidfd.hpp"
#include "common/kernel/sockets/tcp_repair.hpp"

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

namespace crx {
namespace {

constexpr uint32_t kUsualBacklog = 4096;  // net.core.somaxconn's default

}  // namespace

BorrowedSocket::BorrowedSocket(const OpenFile& file) : fd_(file.own.get()) {
  if (fd_ >= 0) return;
  try {
    const Fd pidfd = open_pidfd(file.pid);
    taken_ = try_get_fd(pidfd.get(), file.fd());
    fd_ = taken_.get();
  } catch (const Error& error) {
    if (error.code() != ErrorCode::victim_gone) throw;
  }
}

std::optional<SocketIdentity> identify_socket(int fd) {
  SocketIdentity identity;
  identity.family = socket_int(fd, SOL_SOCKET, SO_DOMAIN, -1);
  if (identity.family < 0) return std::nullopt;
  identity.type = socket_int(fd, SOL_SOCKET, SO_TYPE);
  identity.protocol = socket_int(fd, SOL_SOCKET, SO_PROTOCOL);
  return identity;
}

std::optional<SocketIdentity> identify_socket(const OpenFile& file) {
  if (!S_ISSOCK(file.st.st_mode) || file.path_only()) return std::nullopt;
  const BorrowedSocket borrowed(file);
  return identify_socket(borrowed.get());
}

bool InetSocketInfo::is_mptcp() const noexcept {
  return identity.protocol == IPPROTO_MPTCP;
}
bool InetSocketInfo::is_echo() const noexcept {
  return identity.type == SOCK_DGRAM && (identity.protocol == IPPROTO_ICMP || identity.protocol == IPPROTO_ICMPV6);
}
bool InetSocketInfo::is_tcp() const noexcept {
  return identity.type == SOCK_STREAM && (identity.protocol == IPPROTO_TCP || is_mptcp());
}

InetSocketInfo look_at_inet(int fd, const SocketIdentity& identity, const std::string& object) {
  InetSocketInfo look;
  look.identity = identity;
  look.local = local_address(fd, object);
  look.peer = peer_address(fd);
  look.listening = socket_int(fd, SOL_SOCKET, SO_ACCEPTCONN) != 0;
  if (!look.is_tcp()) {
    look.state = look.peer ? tcp_state::kEstablished : tcp_state::kClose;
    return look;
  }
  look.state = look.listening ? tcp_state::kListen : tcp_state::kClose;
  // Older kernels do not answer for MPTCP.
  const std::optional<TcpInfo> info = look.is_mptcp() ? try_tcp_info(fd) : tcp_info(fd, object);
  if (info) {
    look.state = info->state;
    look.waiting = info->waiting;
    look.backlog = info->backlog;
  } else {
    look.backlog = kUsualBacklog;
    if (look.peer) look.state = tcp_state::kEstablished;
  }
  return look;
}

}  // namespace crx
