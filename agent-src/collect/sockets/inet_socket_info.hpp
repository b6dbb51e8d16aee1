// The properties of an inet socket that can be read through its descriptor.
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

// A socket to read from: our duplicate of a frozen task's descriptor, or a duplicate taken from a running task, which
// this object closes again. Keep it only for a moment: meanwhile a close(2) in the task does not end the connection.
// get() returns -1 if the descriptor has gone.
class BorrowedSocket {
 public:
  explicit BorrowedSocket(const OpenFile& file);
  int get() const noexcept { return fd_; }

 private:
  Fd taken_;
  int fd_;
};

// Returns nothing if the descriptor is no socket, or has gone.
std::optional<SocketIdentity> identify_socket(const OpenFile& file);
std::optional<SocketIdentity> identify_socket(int fd);

struct InetSocketInfo {
  SocketIdentity identity;
  InetAddress local;
  std::optional<InetAddress> peer;
  bool listening = false;
  uint32_t state = 7;                 // tcp_state; for UDP: 1 connected, 7 not connected
  uint32_t waiting = 0, backlog = 0;  // when listening: the number of unaccepted connections, and its limit

  bool is_tcp() const noexcept;  // TCP or MPTCP
  bool is_mptcp() const noexcept;
  bool is_echo() const noexcept;  // a ping socket (ICMP echo without privileges)
};

// Reads the properties of an AF_INET or AF_INET6 socket. object: the name of the socket for error messages. Throws
// Error(kernel).
InetSocketInfo look_at_inet(int fd, const SocketIdentity& identity, const std::string& object);

}  // namespace crx
