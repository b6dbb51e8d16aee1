// Opens a connection to an agent. Includes Asio: only .cpp files of wire include this header.
#pragma once

#include <asio/awaitable.hpp>
#include <memory>
#include <optional>
#include <string>

#include "wire/connection/channel.hpp"
#include "wire/source/connect.hpp"

namespace crx::wire {

// Resolves the name, connects and performs the handshake; the channel's hard deadline is removed again at the end.
// Throws Error(peer), which names host and port. congestion_control: the name to request; if it is empty or not
// available, the host's own is used. key: makes it a data connection of the session with this key.
asio::awaitable<std::shared_ptr<Channel>> dial(Endpoint to, std::shared_ptr<const TlsContext> tls, Deadline deadline,
                                               std::string congestion_control = {},
                                               std::optional<DataKey> key = std::nullopt);

// Sends a few pings; returns the smallest round trip in microseconds.
asio::awaitable<int64_t> measure_rtt(std::shared_ptr<Channel> channel);

}  // namespace crx::wire
