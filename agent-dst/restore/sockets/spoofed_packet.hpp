// Packets to a socket of this host in the name of somebody else. raw(7); needs CAP_NET_RAW.
#pragma once

#include <cstdint>
#include <string>

#include "common/kernel/sockets/inet_address.hpp"

namespace crx {

// protocol: IPPROTO_UDP or IPPROTO_UDPLITE. Both addresses plain() and of one family; `to` belongs to this host. The
// packet has arrived when it returns. Throws Error naming `object`.
void send_spoofed_datagram(uint8_t protocol, const InetAddress& from, const InetAddress& to, const std::string& content,
                           uint32_t tos, const std::string& object);
// A bare TCP segment that ends what `from` sends. window: as it stands in the header.
void send_spoofed_fin(const InetAddress& from, const InetAddress& to, uint32_t seq, uint32_t ack, uint16_t window,
                      const std::string& object);

}  // namespace crx
