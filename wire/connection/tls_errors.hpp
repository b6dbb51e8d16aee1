// The reasons why a TLS connection fails, as errors that name the peer, the file and the remedy.
#pragma once

#include <string>

#include "wire/connection/tls_context.hpp"

namespace crx::wire {

// Throws Error(peer) unless both sides have agreed on crx's application protocol (ALPN, RFC 7301). To be called after
// the handshake: OpenSSL accepts a peer that names no protocol. peer: "HOST:PORT".
void require_protocol(const ssl_st* ssl, const TlsContext& context, const std::string& peer);

// Throws Error(peer) with the reason why the handshake failed (or the first read after it, where TLS 1.3 reports a
// refused client certificate), from the connection's verify result and OpenSSL's error queue, which is emptied. peer:
// "HOST:PORT". Returns only if the cause lies outside TLS.
void throw_tls_error(const ssl_st* ssl, const TlsContext& context, const std::string& peer);

// The last entry of OpenSSL's error queue as text; empties the queue.
std::string tls_queue_text();

}  // namespace crx::wire
