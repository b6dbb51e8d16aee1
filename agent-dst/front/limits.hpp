// The numbers of connections that the front keeps of peers without a session, and whom it counts them for. Includes
// Asio: only .cpp files of the front include this header.
#pragma once

#include <asio/ip/address.hpp>
#include <cstddef>
#include <string>

namespace crx::front {

// Connections without a session that one address, and one certificate, may have: as many as all sessions of the agent
// can bring at once, so that no source that means well is ever over it, and at least 64. Twice as many are kept in all,
// so that there is room beside one that does not.
std::size_t max_of_owner(unsigned max_sessions);

// The owner of a connection: its IPv4 address, or the network of its IPv6 address, since a host has a whole one (RFC
// 6177).
std::string owner_of(const asio::ip::address& address);

// Raises the limit of open descriptors to what so many sessions and connections need, as far as the host allows it.
void allow_descriptors(unsigned max_sessions);

}  // namespace crx::front
