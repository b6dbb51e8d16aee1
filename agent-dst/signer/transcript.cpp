#include "agent-dst/signer/transcript.hpp"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <optional>
#include <vector>

#include "common/base/c_ptr.hpp"
#include "common/base/error.hpp"
#include "wire/connection/certificate.hpp"

namespace crx::signer {
namespace {

// RFC 8446, 4: the types of handshake messages.
enum Type : uint8_t {
  kClientHello = 1,
  kServerHello = 2,
  kEncryptedExtensions = 8,
  kCertificate = 11,
  kCertificateRequest = 13,
  kCertificateVerify = 15,
  kFinished = 20,
};

using Digest = CPtr<EVP_MD_CTX, EVP_MD_CTX_free>;
using Algorithm = CPtr<EVP_MD, EVP_MD_free>;
using Certificate = CPtr<X509, X509_free>;
using Store = CPtr<X509_STORE_CTX, X509_STORE_CTX_free>;

void free_chain(STACK_OF(X509) * chain) {
  sk_X509_pop_free(chain, X509_free);
}
using Chain = CPtr<STACK_OF(X509), free_chain>;

[[noreturn]] void refuse(std::string why) {
  ERR_clear_error();
  throw Error(ErrorCode::peer, "checking a handshake", std::move(why));
}

void require(bool holds, const char* why) {
  if (!holds) refuse(why);
}

// Reads what TLS messages are made of (RFC 8446, 3): numbers in network order, and vectors behind their length.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : left_(bytes) {}
  bool at_end() const { return left_.empty(); }
  std::string_view take(std::size_t bytes) {
    require(bytes <= left_.size(), "a message is cut off");
    const std::string_view taken = left_.substr(0, bytes);
    left_.remove_prefix(bytes);
    return taken;
  }
  uint32_t number(std::size_t bytes) {
    uint32_t value = 0;
    for (const char c : take(bytes)) value = value << 8 | static_cast<unsigned char>(c);
    return value;
  }
  std::string_view vector(std::size_t length_bytes) { return take(number(length_bytes)); }
  // A whole handshake message of this type, with its header.
  std::string_view message(Type type) {
    const std::string_view all = left_;
    require(number(1) == type, "a message is missing");
    const std::size_t bytes = vector(3).size();
    return all.substr(0, 4 + bytes);
  }

 private:
  std::string_view left_;
};

std::string_view body_of(std::string_view message) {
  return message.substr(4);
}

const unsigned char* bytes_of(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

// RFC 8446, 4.4.3
std::string signed_text(std::string_view side, std::string_view hash) {
  std::string text(64, ' ');
  text += fmt::format("TLS 1.3, {} CertificateVerify", side);
  text += '\0';
  text += hash;
  return text;
}

const char* digest_name(unsigned bits) {
  if (bits == 256) return "SHA256";
  if (bits == 384) return "SHA384";
  return bits == 512 ? "SHA512" : nullptr;
}

bool is_rsa(const EVP_PKEY* key) {
  return EVP_PKEY_is_a(key, "RSA") == 1 || EVP_PKEY_is_a(key, "RSA-PSS") == 1;
}

// RFC 8446, 4.2.3: RSA signs with PSS, and the salt is as long as the digest.
bool set_padding(EVP_PKEY_CTX* context, const EVP_PKEY* key) {
  return !is_rsa(key) || (EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING) == 1 &&
                          EVP_PKEY_CTX_set_rsa_pss_saltlen(context, RSA_PSS_SALTLEN_DIGEST) == 1);
}

// How a signature scheme (RFC 8446, 4.2.3) signs; nullopt for one that crx does not take from a client.
struct Scheme {
  std::vector<const char*> keys;  // their types
  const char* digest;             // nullptr: the algorithm has its own
};
std::optional<Scheme> scheme_of(uint32_t code) {
  switch (code) {
    case 0x0403:
    case 0x0503:
    case 0x0603:
      return Scheme{{"EC"}, digest_name(code == 0x0403 ? 256 : code == 0x0503 ? 384 : 512)};
    case 0x0804:
    case 0x0805:
    case 0x0806:
      return Scheme{{"RSA"}, digest_name(code == 0x0804 ? 256 : code == 0x0805 ? 384 : 512)};
    case 0x0809:
    case 0x080a:
    case 0x080b:
      return Scheme{{"RSA-PSS"}, digest_name(code == 0x0809 ? 256 : code == 0x080a ? 384 : 512)};
    case 0x0807:
      return Scheme{{"ED25519"}, nullptr};
    case 0x0808:
      return Scheme{{"ED448"}, nullptr};
    default:
      return std::nullopt;
  }
}

// The certificates of a Certificate message, the client's own first.
std::vector<Certificate> parse_chain(OSSL_LIB_CTX* library, std::string_view message) {
  Reader body(body_of(message));
  (void)body.vector(1);  // the context, empty in a handshake
  Reader list(body.vector(3));
  std::vector<Certificate> chain;
  while (!list.at_end()) {
    const std::string_view der = list.vector(3);
    const unsigned char* at = bytes_of(der);
    X509* cert = X509_new_ex(library, nullptr);
    const bool read = d2i_X509(&cert, &at, static_cast<long>(der.size())) != nullptr;
    if (!read) X509_free(cert);
    require(read, "a certificate cannot be read");
    chain.emplace_back(cert);
    require(at == bytes_of(der) + der.size(), "a certificate is followed by something else");
    (void)list.vector(2);  // extensions
  }
  require(!chain.empty(), "the peer has sent no certificate");
  return chain;
}

// As OpenSSL checks the chain in a handshake (tls_context.cpp, set_rules).
void check_chain(const wire::TlsContext& keys, std::vector<Certificate>& chain) {
  const Chain others(sk_X509_new_null());
  for (const Certificate& cert : chain) {
    require(X509_up_ref(cert.get()) == 1 && sk_X509_push(others.get(), cert.get()) > 0, "memory is short");
  }
  const Store store(X509_STORE_CTX_new_ex(keys.library(), nullptr));
  require(store &&
              X509_STORE_CTX_init(store.get(), SSL_CTX_get_cert_store(keys.get()), chain.front().get(), others.get()) ==
                  1 &&
              X509_STORE_CTX_set_default(store.get(), "ssl_client") == 1,
          "memory is short");
  X509_VERIFY_PARAM* rules = X509_STORE_CTX_get0_param(store.get());
  X509_VERIFY_PARAM_set_depth(rules, SSL_CTX_get_verify_depth(keys.get()));
  X509_VERIFY_PARAM_set_auth_level(rules, SSL_CTX_get_security_level(keys.get()));
  if (X509_verify_cert(store.get()) != 1) refuse(X509_verify_cert_error_string(X509_STORE_CTX_get_error(store.get())));
  if (const char* fault = wire::certificate_fault(chain.front().get(), wire::TlsRole::client)) refuse(fault);
}

void check_signature(OSSL_LIB_CTX* library, const X509* cert, std::string_view message, std::string_view hash) {
  Reader body(body_of(message));
  const auto scheme = scheme_of(body.number(2));
  const std::string_view signature = body.vector(2);
  EVP_PKEY* key = X509_get0_pubkey(cert);
  require(scheme && key != nullptr && body.at_end(), "the peer's signature is of an unknown kind");
  bool fits = false;
  for (const char* type : scheme->keys) fits = fits || EVP_PKEY_is_a(key, type) == 1;
  const std::string text = signed_text("client", hash);
  const Digest check(EVP_MD_CTX_new());
  EVP_PKEY_CTX* context = nullptr;
  const bool valid =
      fits && check &&
      EVP_DigestVerifyInit_ex(check.get(), &context, scheme->digest, library, nullptr, key, nullptr) == 1 &&
      set_padding(context, key) &&
      EVP_DigestVerify(check.get(), bytes_of(signature), signature.size(), bytes_of(text), text.size()) == 1;
  require(valid, "the peer's signature is wrong");
}

}  // namespace

Transcript::Transcript(std::shared_ptr<const wire::TlsContext> keys) : keys_(std::move(keys)) {}

void Transcript::add(std::string_view message) {
  require(EVP_DigestUpdate(hash_.get(), message.data(), message.size()) == 1, "memory is short");
}

std::string Transcript::hash_so_far() const {
  const Digest copy(EVP_MD_CTX_new());
  unsigned char bytes[EVP_MAX_MD_SIZE];
  unsigned count = 0;
  require(
      copy && EVP_MD_CTX_copy_ex(copy.get(), hash_.get()) == 1 && EVP_DigestFinal_ex(copy.get(), bytes, &count) == 1,
      "memory is short");
  return {reinterpret_cast<const char*>(bytes), count};
}

std::string Transcript::sign(std::string_view begin, uint16_t suite, uint16_t digest_bits) {
  require(!hash_, "a second signature is asked for");
  Reader messages(begin);
  for (const Type type : {kClientHello, kServerHello, kEncryptedExtensions, kCertificateRequest, kCertificate})
    (void)messages.message(type);
  require(messages.at_end(), "there are too many messages");
  constexpr uint16_t kAes256Sha384 = 0x1302;  // the only suite of TLS 1.3 with another hash than SHA-256
  const Algorithm hash(EVP_MD_fetch(keys_->library(), digest_name(suite == kAes256Sha384 ? 384 : 256), nullptr));
  hash_.reset(EVP_MD_CTX_new());
  require(hash_ && EVP_DigestInit_ex2(hash_.get(), hash.get(), nullptr) == 1, "memory is short");
  add(begin);
  const char* digest = digest_name(digest_bits);
  require(digest != nullptr, "the digest is unknown");
  EVP_PKEY* key = SSL_CTX_get0_privatekey(keys_->get());
  const std::string text = signed_text("server", hash_so_far());
  const Digest signer(EVP_MD_CTX_new());
  EVP_PKEY_CTX* context = nullptr;
  std::string signature(static_cast<std::size_t>(EVP_PKEY_get_size(key)), '\0');
  std::size_t bytes = signature.size();
  require(signer &&
              EVP_DigestSignInit_ex(signer.get(), &context, digest, keys_->library(), nullptr, key, nullptr) == 1 &&
              set_padding(context, key) &&
              EVP_DigestSign(signer.get(), reinterpret_cast<unsigned char*>(signature.data()), &bytes, bytes_of(text),
                             text.size()) == 1,
          "the key cannot sign");
  signature.resize(bytes);
  return signature_ = signature;
}

wire::PeerIdentity Transcript::authenticate(std::string_view rest) {
  require(!signature_.empty() && !done_, "nothing has been signed");
  done_ = true;
  Reader messages(rest);
  const std::string_view own = messages.message(kCertificateVerify);
  Reader body(body_of(own));
  (void)body.number(2);  // the scheme
  require(body.vector(2) == signature_ && body.at_end(), "the signature is another one");
  add(own);
  add(messages.message(kFinished));
  const std::string_view certificate = messages.message(kCertificate);
  add(certificate);
  std::vector<Certificate> chain = parse_chain(keys_->library(), certificate);
  check_chain(*keys_, chain);
  check_signature(keys_->library(), chain.front().get(), messages.message(kCertificateVerify), hash_so_far());
  ERR_clear_error();
  return wire::identity_of(chain.front().get());
}

}  // namespace crx::signer
