#include "wire/connection/data_key.hpp"

#include <openssl/crypto.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <cstring>
#include <string_view>

#include "common/base/error.hpp"
#include "wire/connection/tls_errors.hpp"

namespace crx::wire {
namespace {

constexpr char kDataKeyStep[] = "making the key of the data connections";
constexpr std::string_view kLabel = "EXPORTER-crx-data";
constexpr std::string_view kWord = "crx-data";
constexpr unsigned char kSuite[] = {0x13, 0x01};  // the same as kSuiteName
constexpr char kSuiteName[] = "TLS_AES_128_GCM_SHA256";
constexpr unsigned char kContext[] = {'c', 'r', 'x'};
constexpr std::byte kHandshakeRecord{0x16};  // RFC 8446, 5.1

int key_index() {
  static const int index = SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return index;
}

// A session as OpenSSL takes it from outside, in place of one that was negotiated before; nullptr if memory is short.
SSL_SESSION* make_session(SSL* ssl, const DataKey& key) {
  SSL_SESSION* made = SSL_SESSION_new();
  const SSL_CIPHER* cipher = SSL_CIPHER_find(ssl, kSuite);
  const auto* secret = reinterpret_cast<const unsigned char*>(key.secret.data());
  if (made != nullptr && cipher != nullptr && SSL_SESSION_set1_master_key(made, secret, key.secret.size()) == 1 &&
      SSL_SESSION_set_cipher(made, cipher) == 1 && SSL_SESSION_set_protocol_version(made, TLS1_3_VERSION) == 1) {
    return made;
  }
  SSL_SESSION_free(made);
  return nullptr;
}

// SSL_CTX_set_psk_use_session_callback(3)
int offer_key(SSL* ssl, const EVP_MD* /*digest*/, const unsigned char** id, std::size_t* id_bytes,
              SSL_SESSION** session) {
  const auto* key = static_cast<const DataKey*>(SSL_get_ex_data(ssl, key_index()));
  *session = make_session(ssl, *key);
  *id = reinterpret_cast<const unsigned char*>(key->token.data());
  *id_bytes = key->token.size();
  return *session != nullptr ? 1 : 0;
}

// SSL_CTX_set_psk_find_session_callback(3). Without a session the handshake goes on with certificates, and
// uses_data_key() will say no.
int find_key(SSL* ssl, const unsigned char* id, std::size_t id_bytes, SSL_SESSION** session) {
  const auto* key = static_cast<const DataKey*>(SSL_get_ex_data(ssl, key_index()));
  *session = nullptr;
  if (id_bytes != key->token.size() || std::memcmp(id, key->token.data(), id_bytes) != 0) return 1;
  *session = make_session(ssl, *key);
  return *session != nullptr ? 1 : 0;
}

}  // namespace

DataKey::~DataKey() {
  OPENSSL_cleanse(secret.data(), secret.size());
}

DataKey derive_data_key(SSL* ssl) {
  std::array<unsigned char, sizeof(DataKey::Token) + sizeof(DataKey::secret)> bytes{};
  if (SSL_export_keying_material(ssl, bytes.data(), bytes.size(), kLabel.data(), kLabel.size(), nullptr, 0, 0) != 1)
    throw Error(ErrorCode::bug, kDataKeyStep, tls_queue_text());
  DataKey key;
  std::memcpy(key.token.data(), bytes.data(), key.token.size());
  std::memcpy(key.secret.data(), bytes.data() + key.token.size(), key.secret.size());
  OPENSSL_cleanse(bytes.data(), bytes.size());
  return key;
}

std::string data_preamble(const DataKey::Token& token) {
  std::string text(kWord);
  text.append(reinterpret_cast<const char*>(token.data()), token.size());
  return text;
}

bool may_be_preamble(std::byte first) {
  return first == static_cast<std::byte>(kWord.front());
}

bool may_be_tls(std::byte first) {
  return first == kHandshakeRecord;
}

std::optional<DataKey::Token> parse_preamble(std::span<const std::byte, kPreambleBytes> bytes) {
  if (std::memcmp(bytes.data(), kWord.data(), kWord.size()) != 0) return std::nullopt;
  DataKey::Token token;
  std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(kWord.size()), token.size(), token.begin());
  return token;
}

void use_data_key(SSL* ssl, const DataKey& key) {
  const bool is_server = SSL_is_server(ssl) == 1;
  const bool set = SSL_set_ex_data(ssl, key_index(), const_cast<DataKey*>(&key)) == 1 &&
                   SSL_set_ciphersuites(ssl, kSuiteName) == 1 &&
                   (!is_server || SSL_set_session_id_context(ssl, kContext, sizeof kContext) == 1);
  if (!set) throw Error(ErrorCode::bug, kDataKeyStep, tls_queue_text());
  if (is_server)
    SSL_set_psk_find_session_callback(ssl, find_key);
  else
    SSL_set_psk_use_session_callback(ssl, offer_key);
}

bool uses_data_key(const SSL* ssl) {
  return SSL_session_reused(ssl) == 1;
}

}  // namespace crx::wire
