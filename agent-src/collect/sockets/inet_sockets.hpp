// Sockets of AF_INET and AF_INET6: the part that TCP, UDP and raw sockets have in common.
#pragma once

#include "agent-src/collect/kind/fd_kind.hpp"
#include "agent-src/collect/sockets/inet_socket_info.hpp"
#include "common/image/schema/net.pb.h"
#include "common/kernel/sockets/inet_options.hpp"

namespace crx {

// Describes queued errors that can be read only by taking them; "" if there is none.
std::string pending_error(int fd);

// Fills the fields of inet_sk_entry that every socket has, and options beyond CRIU's into crx_file_entry. Throws
// Error(refused).
void collect_inet(const OpenFile& file, const InetSocketInfo& look, FdContext& context, InetOptionReader& options,
                  img::inet_sk_entry& isk);
// Adds the options whose values differ from those of a new socket.
void add_inet_options(const std::vector<OptionValue>& values, img::crx_file_entry& extra);

// For UDP and raw sockets: the queued datagrams and multicast groups (udp_sockets.cpp). Takes nothing from the queue.
// Throws Error(refused).
void collect_datagrams(const OpenFile& file, const InetSocketInfo& look, FdContext& context, img::inet_sk_entry& isk);

}  // namespace crx
