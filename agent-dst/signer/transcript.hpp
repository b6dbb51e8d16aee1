// The server's side of the authentication in a TLS 1.3 handshake, without the handshake: RFC 8446, 4.4.
#pragma once

#include <openssl/evp.h>
#include <openssl/x509.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "wire/connection/tls_context.hpp"

namespace crx::signer {

// One handshake, as messages that another process has seen. They are taken for hostile: the other process may have been
// taken over by the peer. Errors are Error(peer).
class Transcript {
 public:
  // keys: with the private key, and the authority's certificates and lists.
  explicit Transcript(std::shared_ptr<const wire::TlsContext> keys);

  // begin: the messages of the client's hello, and of the server's hello, encrypted extensions, certificate request and
  // certificate. suite: the cipher suite. digest_bits: of the digest that is signed. Returns the signature of the
  // server's CertificateVerify. Once only.
  std::string sign(std::string_view begin, uint16_t suite, uint16_t digest_bits);

  // rest: the messages CertificateVerify (with the signature that sign() has made), Finished, and the client's
  // Certificate and CertificateVerify; more may follow. Returns who the client is if its certificate is accepted and it
  // has signed the handshake with its key. The signature of sign() is part of what it signs and is never the same
  // twice, so it has signed this handshake and no older one. Once only.
  wire::PeerIdentity authenticate(std::string_view rest);

 private:
  struct Free {
    void operator()(EVP_MD_CTX* hash) const noexcept { EVP_MD_CTX_free(hash); }
  };
  void add(std::string_view message);
  std::string hash_so_far() const;

  std::shared_ptr<const wire::TlsContext> keys_;
  std::unique_ptr<EVP_MD_CTX, Free> hash_;
  std::string signature_;
  bool done_ = false;
};

}  // namespace crx::signer
