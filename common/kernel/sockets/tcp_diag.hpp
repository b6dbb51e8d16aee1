// TCP sockets as sock_diag(7) reports them, including sockets without a descriptor. Reading /proc/net/tcp takes
// milliseconds, since it walks the hash tables of the host bucket by bucket; this takes microseconds for one named
// socket, and some hundred for a list.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "common/kernel/sockets/inet_address.hpp"
#include "common/kernel/sockets/sock_diag.hpp"

namespace crx {

struct TcpSocketInfo {
  InetAddress local, peer;  // after InetAddress::plain()
  uint32_t state = 0;       // a value of tcp_state
  uint32_t inode = 0;       // 0: no descriptor refers to the socket
  uint32_t received = 0;    // bytes that are not read yet, a FIN counts as one; listening: connections not accepted yet
  uint64_t cookie = 0;      // SO_COOKIE
  bool signs = false;       // has MD5 keys (TCP_MD5SIG); the kernel reports them to callers with CAP_NET_ADMIN
};

// Works in the network namespace of the calling thread. The first TCP socket of an MPTCP socket is reported with the
// inode of the MPTCP socket.
class TcpDiag {
 public:
  static constexpr uint32_t kAllStates = UINT32_MAX;
  // The sockets whose state has its bit (1 << tcp_state) set; nullopt when the kernel does not support this
  // (CONFIG_INET_DIAG). Listening sockets are in a table of their own; all other states require a walk over all sockets
  // of the host.
  std::optional<std::vector<TcpSocketInfo>> list(uint32_t states);
  // The connection with these two ends; nullopt when there is none. Does not find sockets bound to a network device
  // (SO_BINDTODEVICE).
  std::optional<TcpSocketInfo> find(const InetAddress& local, const InetAddress& peer);

 private:
  SockDiag diag_;
};

}  // namespace crx
