// The listening sockets of crx-agent.
#pragma once

#include <cstdint>

#include "common/base/endpoint.hpp"
#include "common/base/fd.hpp"

namespace crx::supervisor {

// Binds and listens; an empty host means all addresses. The supervisor keeps the descriptor, so that a new front gets
// the same port, but never accepts on it. Throws Error(refused), which names the endpoint and `option`.
Fd listen_on(const Endpoint& where, const char* option);
// The local port of a bound socket.
uint16_t bound_port(int fd);

}  // namespace crx::supervisor
