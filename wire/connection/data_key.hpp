// The key by which the data connections of a session belong to its control connection, and the preamble by which they
// are known before TLS begins (PROTOCOL.md, section 2).
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <string>

struct ssl_st;

namespace crx::wire {

// Both ends derive it from the control connection (RFC 8446, 7.5), so it need not be sent. It is another one for each
// session.
struct DataKey {
  static constexpr std::size_t kTokenBytes = 16;
  using Token = std::array<std::byte, kTokenBytes>;

  Token token{};  // names the session to whoever hands the connection on; proves nothing
  std::array<std::byte, 32>
      secret{};  // the pre-shared key of the TLS handshake, in which both ends prove that they know it

  ~DataKey();
};

// ssl: a connection whose handshake is complete. Throws Error(bug).
DataKey derive_data_key(ssl_st* ssl);

// What a data connection sends before TLS begins: a fixed word and the token.
inline constexpr std::size_t kPreambleBytes = 8 + DataKey::kTokenBytes;
std::string data_preamble(const DataKey::Token& token);
// Whether a connection that begins with this byte may begin with a preamble; the first byte of TLS is another.
bool may_be_preamble(std::byte first);
// Whether a connection that begins with this byte may begin with TLS: the type of a handshake record.
bool may_be_tls(std::byte first);
// nullopt if it is none.
std::optional<DataKey::Token> parse_preamble(std::span<const std::byte, kPreambleBytes> bytes);

// Makes a connection whose handshake has not begun prove the key instead of a certificate (RFC 8446, 2.2: with a fresh
// Diffie-Hellman exchange). key: must outlive the handshake. After the handshake uses_data_key() says whether the peer
// took part in it.
void use_data_key(ssl_st* ssl, const DataKey& key);
bool uses_data_key(const ssl_st* ssl);

}  // namespace crx::wire
