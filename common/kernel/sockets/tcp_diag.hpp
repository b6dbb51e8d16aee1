// What sock_diag(7) tells of TCP sockets: also of those that no descriptor refers to. Where /proc/net/tcp takes
// milliseconds, since it walks the tables of the host bucket by bucket, this takes microseconds for a socket that is
// named, and some hundred for a list.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "common/kernel/sockets/inet_address.hpp"
#include "common/kernel/sockets/sock_diag.hpp"

namespace crx {

struct TcpSocketInfo {
  InetAddress local, peer;  // plain()
  uint32_t state = 0;       // tcp_state
  uint32_t inode = 0;       // 0: no descriptor refers to it
  uint32_t received = 0;    // bytes not read, a FIN counts; listening: connections that wait to be accepted
  uint64_t cookie = 0;      // SO_COOKIE
  bool signs = false;       // has MD5 keys (TCP_MD5SIG), as those are told who have CAP_NET_ADMIN
};

// In the network namespace of the calling thread. Of an MPTCP socket its first TCP socket is shown, with the inode of
// the former.
class TcpDiag {
 public:
  static constexpr uint32_t kAllStates = UINT32_MAX;
  // Sockets whose state has its bit (1 << tcp_state) set. Nothing where the kernel does not tell (CONFIG_INET_DIAG).
  // Listening ones are found in a table of their own, all others take a walk over those of the host.
  std::optional<std::vector<TcpSocketInfo>> list(uint32_t states);
  // The connection with these ends. Not those bound to a network device (SO_BINDTODEVICE).
  std::optional<TcpSocketInfo> find(const InetAddress& local, const InetAddress& peer);

 private:
  SockDiag diag_;
};

}  // namespace crx
