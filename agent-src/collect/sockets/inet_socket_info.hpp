// What an inet socket is, as its descriptor tells it.
#pragma once

#include <optional>
#include <string>

#include "agent-src/tree/open_file.hpp"
#include "common/base/fd.hpp"
#include "common/kernel/sockets/inet_address.hpp"

namespace crx {

struct SocketIdentity {
  int family = 0;    // AF_
  int type = 0;      // SOCK_
  int protocol = 0;  // IPPROTO_
};

// A descriptor to ask: the duplicate of a frozen task, or one taken for a moment from a running task, which the caller
// drops at once (meanwhile a close(2) of the task does not end a connection). -1 where it has gone.
class BorrowedSocket {
 public:
  explicit BorrowedSocket(const OpenFile& file);
  int get() const noexcept { return fd_; }

 private:
  Fd taken_;
  int fd_;
};

// Nothing for what is no socket, or has gone.
std::optional<SocketIdentity> identify_socket(const OpenFile& file);
std::optional<SocketIdentity> identify_socket(int fd);

struct InetSocketInfo {
  SocketIdentity identity;
  InetAddress local;
  std::optional<InetAddress> peer;
  bool listening = false;
  uint32_t state = 7;                 // tcp_state; UDP: 1 connected, 7 not
  uint32_t waiting = 0, backlog = 0;  // listening: connections not accepted, and how many may be

  bool is_tcp() const noexcept;  // TCP or MPTCP
  bool is_mptcp() const noexcept;
  bool is_echo() const noexcept;  // ICMP echoes, without privileges
};

// Of an AF_INET or AF_INET6 socket.
InetSocketInfo look_at_inet(int fd, const SocketIdentity& identity, const std::string& object);

}  // namespace crx
