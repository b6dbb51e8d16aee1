// The port of crx-agent.
#pragma once

#include <cstdint>

#include "common/base/endpoint.hpp"
#include "common/base/fd.hpp"

namespace crx::supervisor {

// Binds and listens; an empty host means all addresses. The supervisor keeps the descriptor, so that a new
// front gets the same port, but never accepts from it. Throws Error(refused) that names the endpoint and `option`.
Fd listen_on(const Endpoint& where, const char* option);
uint16_t bound_port(int fd);

}  // namespace crx::supervisor
