// Sockets of AF_INET and AF_INET6: the part that TCP, UDP and raw sockets have in common.
#pragma once

#include <string>
#include <vector>

#include "agent-dst/restore/kind/fd_restorer.hpp"
#include "common/image/schema/net.pb.h"
#include "common/kernel/sockets/inet_address.hpp"

namespace crx {

// Which packets a socket accepts until the commit, by a socket filter of ours.
enum class Gate {
  nothing,   // no packet
  loopback,  // only packets from this host itself
};
// Attaches a socket filter of ours. MPTCP sockets have no filters and stay open. object: the name for errors.
void close_gate(int fd, Gate gate, const std::string& object);
// Removes our filter.
void open_gate(int fd, const std::string& object);

// Read the addresses of an entry; peer_of() returns nothing for a socket without a peer. Throw Error(corrupt_image) for
// a malformed address.
InetAddress local_of(const img::inet_sk_entry& isk, const img::crx_inet_entry& inet);
std::optional<InetAddress> peer_of(const img::inet_sk_entry& isk, const img::crx_inet_entry& inet);

// Makes a new socket of the entry's kind, with its owner and all options that must be set before bind(2).
Fd make_inet_socket(const img::inet_sk_entry& isk, const img::crx_file_entry& extra, const std::string& object);
// Sets the protocol options that must be set late (after bind(2) or connecting).
void set_late_options(int fd, const img::inet_sk_entry& isk, const img::crx_file_entry& extra,
                      const std::string& object);
// Sets SOL_SOCKET options and status flags, except filters, which the commit sets.
void set_general_options(int fd, const img::inet_sk_entry& isk, const img::crx_file_entry& extra,
                         const std::string& object);
// Sets everything, the filter included; to be called after open_gate().
void set_final_options(int fd, const img::inet_sk_entry& isk, const img::crx_file_entry& extra,
                       const std::string& object);

// Calls bind(2), also if the address does not belong to this host yet (a hook may bring it). Throws Error(refused) that
// names the address and the obstacle.
void bind_inet(int fd, const InetAddress& address, const std::string& object);
// To be called before bind(2): lets the socket share its port with other sockets of the set that have it, if a program
// has reset the option that allowed this (SO_REUSEPORT, SO_REUSEADDR). set_address_options() sets the final values when
// all are bound and listen.
void share_port(int fd, const img::file_entry& entry, const FdRestoreContext& context, const std::string& object);
// bind(2) or listen(2) returned EADDRINUSE: throws Error(refused) that names the process that has the address.
[[noreturn]] void throw_address_taken(int fd, const InetAddress& address, const std::string& object);
// Throws Error(refused) unless the address is on this host now, or the program allows a missing one (IP_FREEBIND).
void require_local(const InetAddress& address, int fd, const std::string& object);

// While this object exists the socket may use addresses that are not this host's (IP_TRANSPARENT).
class ForeignAddress {
 public:
  ForeignAddress(int fd, const InetAddress& address);
  ForeignAddress(const ForeignAddress&) = delete;
  ForeignAddress& operator=(const ForeignAddress&) = delete;
  ~ForeignAddress();

 private:
  int fd_;
  int family_;
  bool set_ = false;
};

// Returns "TCP socket (pid 12 fd 3)", with the local address.
std::string describe_inet(const img::file_entry& entry, const FdRestoreContext& context);

}  // namespace crx
