#include "wire/connection/tls_context.hpp"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/provider.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <cstring>

#include "common/base/error.hpp"
#include "wire/connection/certificate.hpp"
#include "wire/connection/gcm_provider.hpp"
#include "wire/connection/remote_key.hpp"
#include "wire/connection/tls_errors.hpp"
#include "wire/limits.hpp"

namespace crx::wire {
namespace {

constexpr char kTlsContextStep[] = "loading TLS keys";

int pass_alpn(SSL* /*ssl*/, const unsigned char** out, unsigned char* out_len, const unsigned char* in, unsigned in_len,
              void* /*arg*/) {
  const std::size_t n = std::strlen(kAlpn);
  for (unsigned at = 0; at + 1 + n <= in_len; at += 1U + in[at]) {
    if (in[at] == n && std::memcmp(in + at + 1, kAlpn, n) == 0) {
      *out = in + at + 1;
      *out_len = in[at];
      return SSL_TLSEXT_ERR_OK;
    }
  }
  return SSL_TLSEXT_ERR_ALERT_FATAL;
}

// A refused certificate never becomes the connection's peer certificate, but messages name it, so it is kept here.
int refused_index() {
  static const int index = SSL_get_ex_new_index(
      0, nullptr, nullptr, nullptr,
      [](void*, void* cert, CRYPTO_EX_DATA*, int, long, void*) { X509_free(static_cast<X509*>(cert)); });
  return index;
}

// OpenSSL has checked what it checks, for each certificate of the chain; crx's own rules are for the peer's.
int check_and_note(int accepted, X509_STORE_CTX* store) {
  auto* ssl = static_cast<SSL*>(X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));
  X509* leaf = X509_STORE_CTX_get0_cert(store);
  const bool at_leaf = leaf != nullptr && X509_STORE_CTX_get_error_depth(store) == 0;
  if (accepted == 1 && at_leaf &&
      certificate_fault(leaf, SSL_is_server(ssl) == 1 ? TlsRole::client : TlsRole::server) != nullptr) {
    X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_REJECTED);
    accepted = 0;
  }
  if (accepted != 1 && leaf != nullptr && SSL_get_ex_data(ssl, refused_index()) == nullptr && X509_up_ref(leaf) == 1 &&
      SSL_set_ex_data(ssl, refused_index(), leaf) != 1) {
    X509_free(leaf);
  }
  return accepted;
}

void set_rules(SSL_CTX* ctx, TlsRole role) {
  SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION);
  SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION);
  // AES-128 first: half again as fast as AES-256, and strong enough for data that lives only during a migration.
  SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256");
  SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_num_tickets(ctx, 0);
  SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_max_early_data(ctx, 0);
  SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  const int verify = role == TlsRole::server ? SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT : SSL_VERIFY_PEER;
  SSL_CTX_set_verify(ctx, verify, check_and_note);
  SSL_CTX_set_verify_depth(ctx, 4);
  if (role == TlsRole::server) {
    SSL_CTX_set_alpn_select_cb(ctx, pass_alpn, nullptr);
  } else {
    std::string offer(1, static_cast<char>(std::strlen(kAlpn)));
    offer += kAlpn;
    SSL_CTX_set_alpn_protos(ctx, reinterpret_cast<const unsigned char*>(offer.data()),
                            static_cast<unsigned>(offer.size()));
  }
}

// Refuses an own certificate that no peer accepts.
void check_own(SSL_CTX* ctx, TlsRole role, const TlsFiles& files) {
  const X509* cert = SSL_CTX_get0_certificate(ctx);
  if (cert == nullptr) return;
  if (const char* fault = certificate_fault(cert, role)) {
    throw Error(ErrorCode::refused, kTlsContextStep, fmt::format("no peer accepts {}: {}", files.cert, fault))
        .with_hint("issue a new certificate for this host with crx-keys");
  }
  if (X509_cmp_current_time(X509_get0_notAfter(cert)) < 0) {
    throw Error(ErrorCode::refused, kTlsContextStep,
                fmt::format("{} expired on {}", files.cert, certificate_time(X509_get0_notAfter(cert))))
        .with_hint("issue a new certificate for this host with crx-keys");
  }
  if (X509_cmp_current_time(X509_get0_notBefore(cert)) > 0) {
    throw Error(ErrorCode::refused, kTlsContextStep,
                fmt::format("{} is valid only from {}", files.cert, certificate_time(X509_get0_notBefore(cert))))
        .with_hint("check this host's clock");
  }
}

}  // namespace

void TlsContext::Free::operator()(ossl_lib_ctx_st* library) const noexcept {
  OSSL_LIB_CTX_free(library);
}

void TlsContext::Free::operator()(ossl_provider_st* provider) const noexcept {
  OSSL_PROVIDER_unload(provider);
}

void TlsContext::Free::operator()(ssl_ctx_st* ctx) const noexcept {
  SSL_CTX_free(ctx);
}

TlsContext::TlsContext(TlsRole role, const std::string& dir, const std::string& crl)
    : TlsContext(role, open_tls_files(TlsFiles(dir, crl))) {}

TlsContext::TlsContext(TlsRole role, const OpenTlsFiles& files) : TlsContext(role, files, nullptr) {}

TlsContext::TlsContext(TlsRole role, const OpenTlsFiles& files, RemoteKey& remote) : TlsContext(role, files, &remote) {}

TlsContext::TlsContext(TlsRole role, const OpenTlsFiles& files, RemoteKey* remote)
    : role_(role), files_(files.names), library_(OSSL_LIB_CTX_new()) {
  if (library_) default_provider_.reset(OSSL_PROVIDER_load(library_.get(), "default"));
  if (!default_provider_) throw Error(ErrorCode::bug, kTlsContextStep, tls_queue_text());
  gcm_provider_.reset(add_gcm_provider(library_.get()));
  if (!gcm_provider_) ERR_clear_error();
  if (remote != nullptr) {
    key_provider_.reset(add_remote_key_provider(library_.get()));
    if (!key_provider_) throw Error(ErrorCode::bug, kTlsContextStep, tls_queue_text());
  }
  ctx_.reset(
      SSL_CTX_new_ex(library_.get(), kGcmFirst, role == TlsRole::client ? TLS_client_method() : TLS_server_method()));
  if (!ctx_) throw Error(ErrorCode::bug, kTlsContextStep, tls_queue_text());
  set_rules(ctx_.get(), role);
  load_tls_files(files, ctx_.get(), library_.get(), remote);
  check_own(ctx_.get(), role, files_);
}

ssl_st* TlsContext::new_connection(const std::string& server_name) const {
  SSL* ssl = SSL_new(ctx_.get());
  if (ssl == nullptr) throw Error(ErrorCode::bug, "starting TLS", tls_queue_text());
  if (role_ == TlsRole::server) {
    SSL_set_accept_state(ssl);
    return ssl;
  }
  SSL_set_connect_state(ssl);
  X509_VERIFY_PARAM* param = SSL_get0_param(ssl);
  if (X509_VERIFY_PARAM_set1_ip_asc(param, server_name.c_str()) != 1) {
    ERR_clear_error();
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    SSL_set1_host(ssl, server_name.c_str());
    SSL_set_tlsext_host_name(ssl, server_name.c_str());
  }
  return ssl;
}

const X509* refused_certificate(const SSL* ssl) {
  return static_cast<const X509*>(SSL_get_ex_data(ssl, refused_index()));
}

PeerIdentity peer_identity(const ssl_st* ssl) {
  const X509* cert = SSL_get0_peer_certificate(ssl);
  return cert == nullptr ? PeerIdentity() : identity_of(cert);
}

PeerIdentity identity_of(const x509_st* cert) {
  PeerIdentity identity;
  identity.names = certificate_names(cert);
  identity.name = joined_names({identity.names.begin(), identity.names.begin() + !identity.names.empty()});
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned length = 0;
  if (X509_digest(cert, EVP_sha256(), digest, &length) == 1) {
    for (unsigned i = 0; i < length; ++i) identity.fingerprint += fmt::format("{:02x}", digest[i]);
  }
  return identity;
}

}  // namespace crx::wire
