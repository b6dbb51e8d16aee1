// Opening a connection to an agent. Includes Asio: for .cpp files of wire only.
#pragma once

#include <asio/awaitable.hpp>
#include <memory>
#include <string>

#include "wire/connection/channel.hpp"
#include "wire/source/connect.hpp"

namespace crx::wire {

// Resolves, connects, shakes hands; the channel's hard deadline is lifted again at the end. Throws
// Error(peer) that names host and port. congestion_control: asked for by name; where it is empty or cannot be had, the
// host's own.
asio::awaitable<std::shared_ptr<Channel>> dial(Endpoint to, std::shared_ptr<const TlsContext> tls, Deadline deadline,
                                               std::string congestion_control = {});

// Sends pings until one is answered, a few times; the smallest round trip in microseconds.
asio::awaitable<int64_t> measure_rtt(std::shared_ptr<Channel> channel);

}  // namespace crx::wire
