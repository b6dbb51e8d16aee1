// Sockets of AF_INET and AF_INET6: what TCP, UDP and raw sockets have in common.
#pragma once

#include "agent-src/collect/kind/fd_kind.hpp"
#include "agent-src/collect/sockets/inet_socket_info.hpp"
#include "common/image/schema/net.pb.h"
#include "common/kernel/sockets/inet_options.hpp"

namespace crx {

// Waiting data or errors of a socket that cannot be looked at without taking them. "" when there is none.
std::string pending_error(int fd);

// Fills everything of inet_sk_entry that any socket has, and options beyond CRIU's into crx_file_entry.
void collect_inet(const OpenFile& file, const InetSocketInfo& look, FdContext& context, InetOptionReader& options,
                  img::inet_sk_entry& isk);
// The options that differ from a new socket's.
void add_inet_options(const std::vector<OptionValue>& values, img::crx_file_entry& extra);

// UDP and raw: what waits to be read, and multicast groups (udp_sockets.cpp). Nothing is taken from the queue.
void collect_datagrams(const OpenFile& file, const InetSocketInfo& look, FdContext& context, img::inet_sk_entry& isk);

}  // namespace crx
