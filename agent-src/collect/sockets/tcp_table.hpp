// The TCP sockets of a tree, and which of them are the two ends of one connection.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "agent-src/collect/sockets/inet_socket_info.hpp"
#include "agent-src/tree/open_file.hpp"
#include "common/kernel/sockets/tcp_diag.hpp"

namespace crx {

class TcpTable {
 public:
  struct Socket {
    const OpenFile* file = nullptr;
    InetSocketInfo look;
  };
  // Looks at every TCP socket of `files`, which must outlive it. Sockets that vanish meanwhile are left out.
  explicit TcpTable(const std::vector<OpenFile>& files);

  const std::vector<Socket>& sockets() const noexcept { return sockets_; }
  // The socket at the other end; nullptr when it is not in the tree.
  const Socket* other_end(const InetSocketInfo& look) const;
  // The tree's listening socket that a connection to `address` reaches; nullptr when there is none.
  const Socket* listener_at(const InetAddress& address) const;
  // Where the other end waits to be accepted at a listening socket of the tree: how many bytes it has got already.
  std::optional<uint64_t> waiting_end(const InetSocketInfo& look);
  // It signs its segments (TCP_MD5SIG).
  bool is_signed(const OpenFile& file, const InetSocketInfo& look);
  // The other end is on this host, has sent its FIN and belongs to nobody any more.
  bool is_client_closed(const InetSocketInfo& look);

 private:
  using Ends = std::pair<InetAddress, InetAddress>;  // local, peer; both plain()
  // Nothing where it cannot be found out.
  using Listing = std::optional<std::vector<TcpSocketInfo>>;
  const Listing& listening();
  const Listing& all();
  std::optional<TcpSocketInfo> far_end(const InetSocketInfo& look);

  std::vector<Socket> sockets_;
  std::map<Ends, std::size_t> by_ends_;
  TcpDiag diag_;
  std::optional<Listing> listening_, all_;  // asked for once
};

}  // namespace crx
