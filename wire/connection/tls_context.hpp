// Keys, certificates and the rules of the TLS connection: only TLS 1.3, and both sides are authenticated by one private
// CA.
#pragma once

#include <memory>
#include <string>
#include <vector>

struct ossl_lib_ctx_st;
struct ssl_ctx_st;
struct ssl_st;

namespace crx::wire {

enum class TlsRole { client, server };

// The paths of the files in a directory; see tls_dir.hpp for the default directory.
struct TlsFiles {
  explicit TlsFiles(std::string directory);
  std::string dir, ca, cert, key;
};

// Loaded once and then immutable, so it may be shared between threads.
class TlsContext {
 public:
  // Reads DIR/{ca,cert,key}.pem. Throws Error(refused), which names the file and the remedy, if one is missing,
  // unreadable, not PEM, a key of another certificate, or an expired certificate.
  TlsContext(TlsRole role, const std::string& dir);

  TlsRole role() const { return role_; }
  const TlsFiles& files() const { return files_; }
  ssl_ctx_st* get() const { return ctx_.get(); }

  // A new connection object, owned by the caller. server_name: for a client, the name or IP address that the server's
  // certificate must have.
  ssl_st* new_connection(const std::string& server_name) const;

 private:
  struct Free {
    void operator()(ossl_lib_ctx_st* library) const noexcept;
    void operator()(ssl_ctx_st* ctx) const noexcept;
  };

  TlsRole role_;
  TlsFiles files_;
  std::unique_ptr<ossl_lib_ctx_st, Free> library_;  // the algorithms and their providers; outlives ctx_
  std::unique_ptr<ssl_ctx_st, Free> ctx_;
};

// The identity of the peer, from its certificate.
struct PeerIdentity {
  std::string name;                // CN, else the first subjectAltName
  std::vector<std::string> names;  // CN and all subjectAltNames, for --allow
  std::string fingerprint;         // SHA-256 of the certificate, hex
};
PeerIdentity peer_identity(const ssl_st* ssl);

// Throws Error(peer) unless both sides have agreed on crx's application protocol (ALPN, RFC 7301). To be called after
// the handshake: OpenSSL accepts a peer that names no protocol. peer: "HOST:PORT".
void require_protocol(const ssl_st* ssl, const TlsContext& context, const std::string& peer);

// Throws Error(peer) with the reason why the handshake failed (or the first read after it, where TLS 1.3 reports a
// refused client certificate), from the connection's verify result and OpenSSL's error queue, which is emptied. peer:
// "HOST:PORT". Returns only if the cause lies outside TLS.
void throw_tls_error(const ssl_st* ssl, const TlsContext& context, const std::string& peer);

}  // namespace crx::wire
