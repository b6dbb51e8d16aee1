// nftables tables that drop the packets of chosen TCP connections, by netlink (libmnl, libnftnl).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "common/kernel/sockets/inet_address.hpp"

namespace crx {

// Both ends of a TCP connection, of one address family (InetAddress::plain()).
struct ConnectionEnds {
  InetAddress local;
  InetAddress peer;
};

// The name of the table that keeps dropping packets of a session's connections when crx-migrate has ended.
inline std::string kept_table_name(const std::string& session) {
  return "crx-" + session + "-kept";
}

// A netlink socket to nftables in the network namespace of the thread that opens it. Needs CAP_NET_ADMIN there. All
// calls return when the kernel has completed the operation, or throw Error(unsupported) with the kernel's reason; the
// kernel has then changed nothing. Single-threaded. See nft(8), include/uapi/linux/netfilter/nf_tables.h.
class PacketFilter {
 public:
  // owned: the kernel removes the table when this object's socket is closed (NFT_TABLE_F_OWNER, Linux 5.12). permanent:
  // the table stays until remove_table() is called.
  enum class Lifetime : uint8_t { owned, permanent };

  PacketFilter();
  PacketFilter(PacketFilter&&) noexcept;
  PacketFilter& operator=(PacketFilter&&) = delete;
  ~PacketFilter();

  // Creates the table "inet NAME": two sets of connections (c4, c6), which are empty at first, and input and output
  // chains that drop every TCP packet, in either direction, of a connection in these sets.
  void make_table(const std::string& name, Lifetime lifetime);
  // Adds connections to the sets of a table that make_table() made. Thousands of connections are added in several
  // steps; when one step fails, the connections of the previous steps stay in the sets.
  void add(const std::string& name, std::span<const ConnectionEnds> connections);
  // Returns false when there is no such table.
  bool remove_table(const std::string& name);

 private:
  class Socket;
  std::unique_ptr<Socket> socket_;
};

}  // namespace crx
