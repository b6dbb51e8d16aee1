// The numbers of connections that are kept of peers without a session, and whom they are counted for.
#pragma once

#include <sys/socket.h>

#include <cstddef>
#include <string>

namespace crx::front {

// Connections that one address may have of which nothing is known: as many as all sessions of the agent can bring at
// once, so that no source that means well is ever over it, and at least 64. Twice as many are kept in all, so that
// there is room beside one that does not.
std::size_t max_of_owner(unsigned max_sessions);

// Processes that one address may have for peers that have not authenticated, and one certificate for peers that have
// and got no session yet: twice as many as there can be sessions, and at least 32. Twice as many are kept in all.
std::size_t max_processes_of_owner(unsigned max_sessions);

// The owner of a connection: its IPv4 address, or the network of its IPv6 address, since a host has a whole one (RFC
// 6177).
std::string owner_of(const sockaddr_storage& address);
// The address and the port as text: "10.0.0.1:7077", "[::1]:7077".
std::string address_text(const sockaddr_storage& address);

// Raises the limit of open descriptors to what so many sessions and connections need, as far as the host allows it.
void allow_descriptors(unsigned max_sessions);

}  // namespace crx::front
