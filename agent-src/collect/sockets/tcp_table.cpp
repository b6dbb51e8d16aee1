#include "agent-src/collect/sockets/tcp_table.hpp"

#include <algorithm>

#include "common/kernel/sockets/tcp_repair.hpp"

namespace crx {

TcpTable::TcpTable(const std::vector<OpenFile>& files) {
  for (const OpenFile& file : files) {
    if (!S_ISSOCK(file.st.st_mode)) continue;
    const BorrowedSocket borrowed(file);
    const auto identity = identify_socket(borrowed.get());
    if (!identity || (identity->family != AF_INET && identity->family != AF_INET6)) continue;
    InetSocketInfo look;
    look.identity = *identity;
    if (!look.is_tcp()) continue;
    look = look_at_inet(borrowed.get(), *identity, file.label());
    if (look.peer) by_ends_.emplace(Ends{look.local.plain(), look.peer->plain()}, sockets_.size());
    sockets_.push_back({&file, look});
  }
}

const TcpTable::Socket* TcpTable::other_end(const InetSocketInfo& look) const {
  if (!look.peer) return nullptr;
  const auto found = by_ends_.find(Ends{look.peer->plain(), look.local.plain()});
  return found == by_ends_.end() ? nullptr : &sockets_[found->second];
}

const TcpTable::Socket* TcpTable::listener_at(const InetAddress& address) const {
  const InetAddress wanted = address.plain();
  const Socket* any = nullptr;
  for (const Socket& socket : sockets_) {
    if (!socket.look.listening || socket.look.local.port != wanted.port) continue;
    if (socket.look.local.plain() == wanted) return &socket;
    if (socket.look.local.is_any() && (socket.look.identity.family == AF_INET6 || wanted.family == AF_INET))
      any = &socket;
  }
  return any;
}

const TcpTable::Listing& TcpTable::listening() {
  if (!listening_) listening_ = diag_.list(1U << tcp_state::kListen);
  return *listening_;
}

const TcpTable::Listing& TcpTable::all() {
  if (!all_) all_ = diag_.list(TcpDiag::kAllStates);
  return *all_;
}

// The kernel does not find a connection bound to a network device by its addresses, so all are listed then.
std::optional<TcpSocketInfo> TcpTable::far_end(const InetSocketInfo& look) {
  if (auto found = diag_.find(*look.peer, look.local)) return found;
  if (!all()) return std::nullopt;
  for (const TcpSocketInfo& other : *all()) {
    if (other.local == look.peer->plain() && other.peer == look.local.plain()) return other;
  }
  return std::nullopt;
}

std::optional<uint64_t> TcpTable::waiting_end(const InetSocketInfo& look) {
  if (!look.peer || listener_at(*look.peer) == nullptr) return std::nullopt;
  const auto end = far_end(look);
  // A socket that has sent a FIN has been accepted.
  if (!end || end->inode != 0 || tcp_state::sent_fin(end->state)) return std::nullopt;
  const uint32_t fin = tcp_state::got_fin(end->state) ? 1 : 0;
  return end->received - std::min(fin, end->received);
}

bool TcpTable::is_signed(const OpenFile& file, const InetSocketInfo& look) {
  const auto among = [&](const Listing& sockets) {
    return sockets && std::any_of(sockets->begin(), sockets->end(), [&](const TcpSocketInfo& info) {
             return info.inode == file.st.st_ino && info.signs;
           });
  };
  if (look.listening) return among(listening());
  if (look.peer) {
    if (look.is_mptcp()) return false;  // not supported by MPTCP
    const auto itself = diag_.find(look.local, *look.peer);
    if (itself && itself->inode == file.st.st_ino) return itself->signs;
  }
  return look.local.port != 0 && among(all());
}

bool TcpTable::is_client_closed(const InetSocketInfo& look) {
  if (!look.peer || !tcp_state::got_fin(look.state) || !is_local_address(*look.peer)) return false;
  const auto end = far_end(look);
  return end ? end->inode == 0 : all().has_value();
}

}  // namespace crx
