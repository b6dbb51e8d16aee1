// Blocks the packets of TCP connections while the connections exist on neither host.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "common/base/fd.hpp"
#include "common/kernel/sockets/inet_address.hpp"
#include "common/kernel/sockets/packet_filter.hpp"

namespace crx {

struct BlockedConnection {
  Fd own;  // a duplicate of the socket; kept until the block ends
  InetAddress local;
  InetAddress peer;
  bool outside = true;  // the other end is not in the tree: it waits for packets, and must get none meanwhile
};

// Drops the packets that the connections send and receive, by an nftables table in this network namespace, named after
// the migration's session. The table belongs to our netlink socket, so the kernel removes it when our process ends in
// any way. After keep() a second table does the same, which stays when our process ends. Single-threaded.
//
// A migration passes this object to the collectors (CollectOptions::packets), which call block() in the stop before
// they read a connection. Afterwards it calls one of:
// - close_silently(), after the destination has resumed and before the original is killed: its connections end without
//   a packet;
// - unblock(), if the process runs on here: packets flow again, and TCP retransmits what was dropped;
// - leave_installed(), if it is unknown on which host the process runs: packets stay blocked after our process has
//   ended.
class TcpBlock {
 public:
  // Does nothing yet. session: letters, digits and '-'.
  explicit TcpBlock(std::string session);
  TcpBlock(const TcpBlock&) = delete;
  TcpBlock& operator=(const TcpBlock&) = delete;
  ~TcpBlock();  // calls unblock()

  // Makes both tables before the stop, so that block() and keep() only have to fill them. A failure is logged, and
  // these try again. If our process is killed before the object ends, the guard removes the second table.
  void prepare() noexcept;
  // When it returns, packets are dropped. May be called again with more connections. Throws Error(unsupported) if
  // nftables does not work; no packet is blocked then.
  void block(std::vector<BlockedConnection> connections);
  bool empty() const noexcept { return connections_.empty(); }
  // To be called before the decision is written down: from here on the packets of connections to the outside stay
  // blocked, whichever process dies. Throws Error(unsupported) as block().
  void keep();

  // Puts the sockets into repair mode, in which closing them sends nothing, and closes our duplicates. Packets stay
  // blocked until unblock(). Failures are logged.
  void close_silently() noexcept;
  // Closes our duplicates and deletes the tables, at which packets flow again. Failures are logged.
  void unblock() noexcept;
  // Whether leave_installed() would leave a table behind.
  bool reaches_outside() const;
  // Leaves a table behind that drops the packets of connections to the outside, until it is deleted ("nft delete table
  // inet NAME").
  void leave_installed() noexcept;
  const std::string& table() const noexcept { return table_; }

 private:
  void make_table();
  void make_kept_table();
  void remove_kept_table() noexcept;

  std::string session_, table_;
  std::vector<BlockedConnection> connections_;
  std::optional<PacketFilter> filter_;
  bool has_table_ = false;
  bool has_kept_table_ = false;
  bool is_kept_ = false;  // it is filled
};

}  // namespace crx
