// Holds back the packets of TCP connections while they are in neither place.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "common/base/fd.hpp"
#include "common/kernel/sockets/inet_address.hpp"

namespace crx {

struct BlockedConnection {
  Fd own;  // a duplicate of the socket; kept until the block ends
  InetAddress local;
  InetAddress peer;
  bool outside = true;  // the other end is not in the tree: it waits for packets, and must get none meanwhile
};

// Drops what the connections send and get, with an nftables table named after the session in this network namespace.
// The table belongs to our netlink socket: the kernel removes it when we end, however that happens. Single-threaded.
//
// How a session uses it: it lends the object to the collectors (CollectOptions::packets), which call block() in the
// stop, before they read a connection. Then one of
//   close_silently(), once the destination has resumed and before the original is killed: its connections end without a
//   packet; unblock(), when the process runs on here: packets flow again, and TCP sends anew what was dropped;
//   leave_installed(), when nobody knows (in doubt): the packets stay blocked after our end.
class TcpBlock {
 public:
  // Opens nftables, and does nothing yet. To be made early, while few descriptors are open: the library cannot work
  // with a number over 1023. session: of letters, digits and '-'.
  explicit TcpBlock(std::string session);
  TcpBlock(const TcpBlock&) = delete;
  TcpBlock& operator=(const TcpBlock&) = delete;
  ~TcpBlock();  // unblock()

  // Makes the table before the stop, so that block() has only to fill it. What fails here block() tells.
  void prepare() noexcept;
  // Packets are dropped when it returns. May be called again with more. Throws Error(unsupported) where nftables does
  // not work, and nothing is held then.
  void block(std::vector<BlockedConnection> connections);
  bool empty() const noexcept { return connections_.empty(); }

  // Sockets go into repair mode, where closing them sends nothing; our duplicates go. The block stays until unblock().
  void close_silently() noexcept;
  void unblock() noexcept;
  // Whether leave_installed() would leave anything behind.
  bool reaches_outside() const;
  // Leaves a table behind that drops the packets to and from others until somebody deletes it ("nft delete table inet
  // NAME").
  void leave_installed() noexcept;
  const std::string& table() const noexcept { return table_; }

 private:
  struct Rules;

  std::string table_;
  std::vector<BlockedConnection> connections_;
  std::unique_ptr<Rules> rules_;  // nullptr where nftables cannot be used
  bool has_table_ = false;
};

}  // namespace crx
