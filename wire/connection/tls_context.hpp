// Keys, certificates and the rules of the TLS connection: only TLS 1.3, and both sides are authenticated by one private
// CA.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "wire/connection/tls_files.hpp"

struct ossl_lib_ctx_st;
struct ossl_provider_st;
struct ssl_ctx_st;
struct ssl_st;
struct x509_st;

namespace crx::wire {

struct RemoteKey;

enum class TlsRole { client, server };

// Loaded once and then immutable, so it may be shared between threads.
class TlsContext {
 public:
  // Reads DIR/{ca,cert,key}.pem. Throws Error(refused), which names the file and the remedy, if one is missing,
  // unreadable, not PEM, a key that others can read, a key of another certificate, or a certificate that has expired or
  // that no peer accepts.
  // crl: see TlsFiles.
  TlsContext(TlsRole role, const std::string& dir, const std::string& crl = {});
  // The same from files that are open; makes no system calls but pread(2) and fstat(2).
  TlsContext(TlsRole role, const OpenTlsFiles& files);
  // The same, but the private key is not read: handshakes are signed by `remote`, which must outlive the context.
  TlsContext(TlsRole role, const OpenTlsFiles& files, RemoteKey& remote);

  TlsRole role() const { return role_; }
  const TlsFiles& files() const { return files_; }
  ssl_ctx_st* get() const { return ctx_.get(); }
  ossl_lib_ctx_st* library() const { return library_.get(); }

  // A new connection object, owned by the caller. server_name: for a client, the name or IP address that the server's
  // certificate must have.
  ssl_st* new_connection(const std::string& server_name) const;

 private:
  TlsContext(TlsRole role, const OpenTlsFiles& files, RemoteKey* remote);

  struct Free {
    void operator()(ossl_lib_ctx_st* library) const noexcept;
    void operator()(ossl_provider_st* provider) const noexcept;
    void operator()(ssl_ctx_st* ctx) const noexcept;
  };

  TlsRole role_;
  TlsFiles files_;
  std::unique_ptr<ossl_lib_ctx_st, Free> library_;  // the algorithms; outlives their providers, and these ctx_
  std::unique_ptr<ossl_provider_st, Free> default_provider_, gcm_provider_, key_provider_;
  std::unique_ptr<ssl_ctx_st, Free> ctx_;
};

// The identity of the peer, from its certificate.
struct PeerIdentity {
  std::string name;                // the first of `names`, for messages
  std::vector<std::string> names;  // certificate_names() of certificate.hpp, for --allow
  std::string fingerprint;         // SHA-256 of the certificate, hex
};
PeerIdentity peer_identity(const ssl_st* ssl);
PeerIdentity identity_of(const x509_st* cert);

// The certificate of the peer that this side has refused in the handshake; nullptr if it has refused none. Owned by the
// connection.
const x509_st* refused_certificate(const ssl_st* ssl);

}  // namespace crx::wire
