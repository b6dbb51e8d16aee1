#include "agent-src/collect/tcp_table.hpp"

#include <algorithm>

#include "agent-src/collect/net_rows.hpp"
#include "common/kernel/tcp_md5.hpp"
#include "common/kernel/tcp_repair.hpp"

namespace crx {

TcpTable::TcpTable(const std::vector<OpenFile>& files) {
  for (const OpenFile& file : files) {
    if (!S_ISSOCK(file.st.st_mode)) continue;
    const SocketDoor door(file);
    const auto identity = identify_socket(door.get());
    if (!identity || (identity->family != AF_INET && identity->family != AF_INET6)) continue;
    InetLook look;
    look.identity = *identity;
    if (!look.is_tcp()) continue;
    look = look_at_inet(door.get(), *identity, file.label());
    pid_ = file.pid;
    if (look.peer) by_ends_.emplace(Ends{look.local.plain(), look.peer->plain()}, sockets_.size());
    sockets_.push_back({&file, look});
  }
}

const TcpTable::Socket* TcpTable::other_end(const InetLook& look) const {
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
    if (socket.look.local.is_any() && (socket.look.identity.family == AF_INET6 || wanted.family == AF_INET)) any = &socket;
  }
  return any;
}

const TcpTable::Orphan* TcpTable::waiting_end(const InetLook& look) {
  if (!look.peer || listener_at(*look.peer) == nullptr) return nullptr;
  if (!orphans_read_) read_orphans();
  const auto found = orphans_.find(Ends{look.peer->plain(), look.local.plain()});
  return found == orphans_.end() ? nullptr : &found->second;
}

bool TcpTable::is_signed(const OpenFile& file) {
  if (!signed_) signed_ = sockets_with_md5_keys();
  return signed_->contains(file.st.st_ino);
}

bool TcpTable::is_deserted(const InetLook& look) {
  if (!look.peer || !tcp_state::got_fin(look.state) || !is_local_address(*look.peer)) return false;
  if (!orphans_read_) read_orphans();
  return !owned_.contains(Ends{look.peer->plain(), look.local.plain()});
}

void TcpTable::read_orphans() {
  orphans_read_ = true;
  for (const char* name : {"tcp", "tcp6"}) {
    for (const NetRow& row : read_net_rows(pid_, name)) {
      if (row.inode != 0) {
        owned_.emplace(row.local, row.peer);
      } else {
        // A FIN counts there.
        const uint64_t fin = tcp_state::got_fin(row.state) ? 1 : 0;
        orphans_.emplace(Ends{row.local, row.peer}, Orphan{row.state, row.received - std::min(fin, row.received)});
      }
    }
  }
}

}  // namespace crx
