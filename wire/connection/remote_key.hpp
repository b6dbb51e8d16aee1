// A private key that another process holds, as OpenSSL needs it to be a TLS server. provider-keymgmt(7),
// provider-signature(7).
#pragma once

#include <functional>
#include <string>
#include <string_view>

struct evp_pkey_st;
struct ossl_lib_ctx_st;
struct ossl_provider_st;
struct x509_st;

namespace crx::wire {

// How a signature is had; set before the first handshake. One handshake at a time.
struct RemoteKey {
  // Returns the signature of the CertificateVerify message of the handshake that is under way (RFC 8446, 4.4.3), made
  // with this digest ("SHA256"); empty if there is none, which fails the handshake. Must not throw.
  std::function<std::string(std::string_view digest)> sign;
};

// Adds the provider whose keys these are to a library context, and returns it, to be unloaded by the caller before the
// context is freed (OSSL_PROVIDER_unload(3)). Returns nullptr, and leaves the reason in OpenSSL's queue, if it cannot.
ossl_provider_st* add_remote_key_provider(ossl_lib_ctx_st* library);

// The private half of the certificate's key: an EC or RSA key that signs by `remote`, which must outlive it. Owned by
// the caller; nullptr, with the reason in OpenSSL's queue, if the key is of another type.
evp_pkey_st* make_remote_key(ossl_lib_ctx_st* library, const x509_st* cert, RemoteKey& remote);

}  // namespace crx::wire
