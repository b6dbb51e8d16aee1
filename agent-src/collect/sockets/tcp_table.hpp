// The TCP sockets of a tree, and which two of them are the ends of one connection.
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
  // Looks at every TCP socket of `files`, which must outlive this object. Sockets that are closed meanwhile are left
  // out.
  explicit TcpTable(const std::vector<OpenFile>& files);

  const std::vector<Socket>& sockets() const noexcept { return sockets_; }
  // Returns the socket at the other end; nullptr if it is not in the tree.
  const Socket* other_end(const InetSocketInfo& look) const;
  // Returns the tree's listening socket that a connection to `address` reaches; nullptr if there is none.
  const Socket* listener_at(const InetAddress& address) const;
  // If the other end is an unaccepted connection of a listening socket of the tree: returns how many bytes it has
  // received.
  std::optional<uint64_t> waiting_end(const InetSocketInfo& look);
  // Whether the socket signs its segments (TCP_MD5SIG).
  bool is_signed(const OpenFile& file, const InetSocketInfo& look);
  // Whether the other end is on this host, has sent its FIN and has no descriptor any more.
  bool is_client_closed(const InetSocketInfo& look);

 private:
  using Ends = std::pair<InetAddress, InetAddress>;  // local, peer; both plain()
  // Nothing if the kernel cannot be asked.
  using Listing = std::optional<std::vector<TcpSocketInfo>>;
  const Listing& listening();
  const Listing& all();
  std::optional<TcpSocketInfo> far_end(const InetSocketInfo& look);

  std::vector<Socket> sockets_;
  std::map<Ends, std::size_t> by_ends_;
  TcpDiag diag_;
  std::optional<Listing> listening_, all_;  // read on first use
};

}  // namespace crx
