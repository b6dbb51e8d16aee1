// TCP: connections, listening sockets and what waits at them.
#pragma once

#include <memory>
#include <optional>

#include "agent-src/collect/sockets/inet_sockets.hpp"
#include "agent-src/collect/sockets/tcp_block.hpp"
#include "agent-src/collect/sockets/tcp_table.hpp"

namespace crx {

// Why a TCP socket of a running tree cannot move. What may be gone when the tree is stopped is not complained of.
void inspect_tcp(const OpenFile& file, const InetSocketInfo& look, TcpTable& table, InspectContext& context);

// For one freeze. Holds the packets of all the tree's connections back before it reads the first of them.
class TcpCollector {
 public:
  explicit TcpCollector(FdContext& context);

  // What is particular to TCP: tcp-stream-INO.img of a connection, its other end, shutdown; checks what waits at a
  // listening socket. Throws Error(refused).
  void collect(const OpenFile& file, const InetSocketInfo& look, FdContext& context, img::inet_sk_entry& isk);

 private:
  void hold_all(FdContext& context);
  void collect_connection(const OpenFile& file, const InetSocketInfo& look, FdContext& context,
                          img::inet_sk_entry& isk);
  void check_waiting(const OpenFile& file, const InetSocketInfo& look);
  void collect_ended(const OpenFile& file, FdContext& context, img::inet_sk_entry& isk);

  TcpTable table_;
  std::optional<TcpBlock> own_block_;  // where the session has none
  bool held_ = false;
};

}  // namespace crx
