// TCP: connections, listening sockets and their unaccepted connections.
#pragma once

#include <memory>
#include <optional>

#include "agent-src/collect/sockets/inet_sockets.hpp"
#include "agent-src/collect/sockets/tcp_block.hpp"
#include "agent-src/collect/sockets/tcp_table.hpp"

namespace crx {

// Reports why a TCP socket of a running tree cannot move. Does not report conditions that may be over by the time the
// tree is stopped.
void inspect_tcp(const OpenFile& file, const InetSocketInfo& look, TcpTable& table, InspectContext& context);

// Serves one stop. Blocks the packets of all connections of the tree before it reads the first one.
class TcpCollector {
 public:
  explicit TcpCollector(FdContext& context);

  // Collects the TCP part of a socket: tcp-stream-INO.img of a connection, its other end and shutdown state; checks the
  // unaccepted connections of a listening socket. Throws Error(refused).
  void collect(const OpenFile& file, const InetSocketInfo& look, FdContext& context, img::inet_sk_entry& isk);

 private:
  void hold_all(FdContext& context);
  void collect_connection(const OpenFile& file, const InetSocketInfo& look, FdContext& context,
                          img::inet_sk_entry& isk);
  void check_waiting(const OpenFile& file, const InetSocketInfo& look);
  void collect_ended(const OpenFile& file, FdContext& context, img::inet_sk_entry& isk);

  TcpTable table_;
  std::optional<TcpBlock> own_block_;  // used if the caller has provided none
  bool held_ = false;
};

}  // namespace crx
