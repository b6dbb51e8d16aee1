// The TCP sockets of a tree, and which of them are the two ends of one connection.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "agent-src/collect/inet_look.hpp"
#include "agent-src/collect/open_file.hpp"

namespace crx {

class TcpTable {
 public:
  struct Socket {
    const OpenFile* file = nullptr;
    InetLook look;
  };
  // A connection as /proc/PID/net/tcp shows it, of those that no descriptor refers to.
  struct Orphan {
    uint32_t state = 0;
    uint64_t received = 0;  // bytes not read
  };

  // Looks at every TCP socket of `files`, which must outlive it. Sockets that vanish meanwhile are left out.
  explicit TcpTable(const std::vector<OpenFile>& files);

  const std::vector<Socket>& sockets() const noexcept { return sockets_; }
  // The socket at the other end; nullptr when it is not in the tree.
  const Socket* other_end(const InetLook& look) const;
  // The tree's listening socket that a connection to `address` reaches; nullptr when there is none.
  const Socket* listener_at(const InetAddress& address) const;
  // The other end, where it waits to be accepted. Read once, when first asked for.
  const Orphan* waiting_end(const InetLook& look);
  // It signs its segments (TCP_MD5SIG). Read once, when first asked for.
  bool is_signed(const OpenFile& file);
  // The other end is on this host, has sent its FIN and belongs to nobody any more.
  bool is_deserted(const InetLook& look);

 private:
  using Ends = std::pair<InetAddress, InetAddress>;  // local, peer; both plain()
  void read_orphans();

  std::vector<Socket> sockets_;
  std::map<Ends, std::size_t> by_ends_;
  std::map<Ends, Orphan> orphans_;
  pid_t pid_ = 0;
  std::set<Ends> owned_;  // by a descriptor of anybody
  bool orphans_read_ = false;
  std::optional<std::set<uint64_t>> signed_;  // inodes
};

}  // namespace crx
