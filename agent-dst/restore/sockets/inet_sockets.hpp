// Sockets of AF_INET and AF_INET6: what TCP, UDP and raw sockets have in common.
#pragma once

#include <string>
#include <vector>

#include "agent-dst/restore/kind/fd_restorer.hpp"
#include "common/image/schema/net.pb.h"
#include "common/kernel/sockets/inet_address.hpp"

namespace crx {

// What a socket lets in until the commit, by a filter of ours.
enum class Gate {
  nothing,   // no packet
  loopback,  // only what this host sends itself
};
void close_gate(int fd, Gate gate, const std::string& object);
// The way to the final state: no filter.
void open_gate(int fd, const std::string& object);

// The entry's addresses. Error(corrupt_image) for what is none; peer() is nothing for sockets that have none.
InetAddress local_of(const img::inet_sk_entry& isk, const img::crx_inet_entry& inet);
std::optional<InetAddress> peer_of(const img::inet_sk_entry& isk, const img::crx_inet_entry& inet);

// A new socket of the entry's kind with its owner and all options that come before bind(2).
Fd make_inet_socket(const img::inet_sk_entry& isk, const img::crx_file_entry& extra, const std::string& object);
// Late protocol options.
void set_late_options(int fd, const img::inet_sk_entry& isk, const img::crx_file_entry& extra,
                      const std::string& object);
// SOL_SOCKET options and status flags but for filters, which come with the commit.
void set_general_options(int fd, const img::inet_sk_entry& isk, const img::crx_file_entry& extra,
                         const std::string& object);
// Everything, the filter too: after open_gate().
void set_final_options(int fd, const img::inet_sk_entry& isk, const img::crx_file_entry& extra,
                       const std::string& object);

// bind(2), also where the address does not belong to this host yet (a hook may bring it). Error(refused) naming the
// address and what stands against it.
void bind_inet(int fd, const InetAddress& address, const std::string& object);
// Before bind(2): lets it share its port with others of the set that have it, where a program took an option back that
// had let them (SO_REUSEPORT, SO_REUSEADDR). set_address_options(), when all are bound and listen, sets them as they
// are.
void share_port(int fd, const img::file_entry& entry, const FdRestoreContext& context, const std::string& object);
// bind(2) or listen(2) said EADDRINUSE: Error(refused) that tells who has it.
[[noreturn]] void throw_address_taken(int fd, const InetAddress& address, const std::string& object);
// Error(refused) unless the address is here now, or the program did not care (IP_FREEBIND).
void require_local(const InetAddress& address, int fd, const std::string& object);

// As long as it lives the socket may use addresses that are not this host's (IP_TRANSPARENT).
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

// "TCP socket (fd 3)", with the local address.
std::string describe_inet(const img::file_entry& entry, const FdRestoreContext& context);

}  // namespace crx
