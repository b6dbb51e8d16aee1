// Sends packets to a socket of this host with another host's address as the source (raw(7)); needs CAP_NET_RAW.
#pragma once

#include <cstdint>
#include <string>

#include "common/kernel/sockets/inet_address.hpp"

namespace crx {

// protocol: IPPROTO_UDP or IPPROTO_UDPLITE. Both addresses are in plain() form and of one family; `to` belongs to this
// host. When it returns, the packet has arrived. Throws Error that names `object`.
void send_spoofed_datagram(uint8_t protocol, const InetAddress& from, const InetAddress& to, const std::string& content,
                           uint32_t tos, const std::string& object);
// Sends a TCP segment with only a FIN, which ends the data from `from`. window: as in the TCP header.
void send_spoofed_fin(const InetAddress& from, const InetAddress& to, uint32_t seq, uint32_t ack, uint16_t window,
                      const std::string& object);

}  // namespace crx
