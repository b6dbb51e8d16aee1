#include "wire/connection/tls_context.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/provider.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string_view>

#include "common/base/error.hpp"
#include "wire/connection/gcm_provider.hpp"
#include "wire/limits.hpp"

namespace crx::wire {
namespace {

constexpr char kTlsContextStep[] = "loading TLS keys";
constexpr char kToolsOnly[] = "only the tools of crx may connect here";
constexpr char kAgentThere[] = "is there a crx-agent on that port?";
constexpr char kMakeKeys[] = "make keys with crx-keys and copy this host's three files there";

std::string queue_text() {
  const unsigned long code = ERR_peek_last_error();
  const char* reason = code == 0 ? nullptr : ERR_reason_error_string(code);
  ERR_clear_error();
  return reason == nullptr ? "unknown reason" : reason;
}

void check_readable(const std::string& path) {
  if (::access(path.c_str(), R_OK) == 0) return;
  throw Error(ErrorCode::refused, kTlsContextStep, path, errno).with_hint(kMakeKeys);
}

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

std::string time_text(const ASN1_TIME* time) {
  tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return "an unreadable date";
  return fmt::format("{:04}-{:02}-{:02} {:02}:{:02} UTC", parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday,
                     parts.tm_hour, parts.tm_min);
}

// A refused certificate never becomes the connection's peer certificate, but messages name it, so it is kept here.
int refused_index() {
  static const int index = SSL_get_ex_new_index(
      0, nullptr, nullptr, nullptr,
      [](void*, void* cert, CRYPTO_EX_DATA*, int, long, void*) { X509_free(static_cast<X509*>(cert)); });
  return index;
}

int note_refused(int accepted, X509_STORE_CTX* store) {
  auto* ssl = static_cast<SSL*>(X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));
  X509* leaf = X509_STORE_CTX_get0_cert(store);
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
  SSL_CTX_set_verify(ctx, verify, note_refused);
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

void load_files(SSL_CTX* ctx, const TlsFiles& files) {
  for (const std::string* path : {&files.ca, &files.cert, &files.key}) check_readable(*path);
  ERR_clear_error();
  if (SSL_CTX_load_verify_locations(ctx, files.ca.c_str(), nullptr) != 1) {
    throw Error(ErrorCode::refused, kTlsContextStep, files.ca + " contains no certificate: " + queue_text())
        .with_hint(kMakeKeys);
  }
  if (SSL_CTX_use_certificate_chain_file(ctx, files.cert.c_str()) != 1) {
    throw Error(ErrorCode::refused, kTlsContextStep, files.cert + " contains no certificate: " + queue_text())
        .with_hint(kMakeKeys);
  }
  if (SSL_CTX_use_PrivateKey_file(ctx, files.key.c_str(), SSL_FILETYPE_PEM) != 1 ||
      SSL_CTX_check_private_key(ctx) != 1) {
    throw Error(ErrorCode::refused, kTlsContextStep,
                files.key + " is not the key of " + files.cert + ": " + queue_text())
        .with_hint(kMakeKeys);
  }
}

void check_dates(SSL_CTX* ctx, const TlsFiles& files) {
  const X509* cert = SSL_CTX_get0_certificate(ctx);
  if (cert == nullptr) return;
  if (X509_cmp_current_time(X509_get0_notAfter(cert)) < 0) {
    throw Error(ErrorCode::refused, kTlsContextStep,
                fmt::format("{} expired on {}", files.cert, time_text(X509_get0_notAfter(cert))))
        .with_hint("issue a new certificate for this host with crx-keys");
  }
  if (X509_cmp_current_time(X509_get0_notBefore(cert)) > 0) {
    throw Error(ErrorCode::refused, kTlsContextStep,
                fmt::format("{} is valid only from {}", files.cert, time_text(X509_get0_notBefore(cert))))
        .with_hint("check this host's clock");
  }
}

std::string name_text(const GENERAL_NAME* name) {
  if (name->type == GEN_DNS) {
    const ASN1_STRING* text = name->d.dNSName;
    return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
            static_cast<std::size_t>(ASN1_STRING_length(text))};
  }
  if (name->type != GEN_IPADD) return {};
  const ASN1_OCTET_STRING* ip = name->d.iPAddress;
  char text[INET6_ADDRSTRLEN] = {};
  const int family = ASN1_STRING_length(ip) == 4 ? AF_INET : AF_INET6;
  if (family == AF_INET6 && ASN1_STRING_length(ip) != 16) return {};
  return ::inet_ntop(family, ASN1_STRING_get0_data(ip), text, sizeof text) == nullptr ? std::string() : text;
}

std::vector<std::string> certificate_names(X509* cert) {
  std::vector<std::string> names;
  char cn[256] = {};
  if (X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, cn, sizeof cn) > 0) names.emplace_back(cn);
  auto* alt = static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(cert, NID_subject_alt_name, nullptr, nullptr));
  for (int i = 0; alt != nullptr && i < sk_GENERAL_NAME_num(alt); ++i) {
    std::string name = name_text(sk_GENERAL_NAME_value(alt, i));
    if (!name.empty() && std::find(names.begin(), names.end(), name) == names.end()) names.push_back(std::move(name));
  }
  GENERAL_NAMES_free(alt);
  return names;
}

std::string join(const std::vector<std::string>& names) {
  std::string out;
  for (const std::string& name : names) out += (out.empty() ? "" : ", ") + name;
  return out.empty() ? "no name" : out;
}

// Reports the failure of our own check of the peer's certificate.
void throw_verify_error(const SSL* ssl, const TlsContext& context, const std::string& peer) {
  const long result = SSL_get_verify_result(ssl);
  if (result == X509_V_OK) return;
  const bool server = context.role() == TlsRole::server;
  const std::string step = server ? "checking a client's certificate" : "checking the agent's certificate";
  X509* cert = static_cast<X509*>(SSL_get_ex_data(ssl, refused_index()));
  const std::string who = cert == nullptr ? peer : fmt::format("{} ({})", peer, join(certificate_names(cert)));
  switch (result) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
      throw Error(ErrorCode::peer, step,
                  fmt::format("the certificate of {} expired{}", who,
                              cert == nullptr ? "" : " on " + time_text(X509_get0_notAfter(cert))))
          .with_hint("issue a new one for it with crx-keys, and check both hosts' clocks");
    case X509_V_ERR_CERT_NOT_YET_VALID:
      throw Error(ErrorCode::peer, step, fmt::format("the certificate of {} is not valid yet", who))
          .with_hint("check both hosts' clocks");
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
      throw Error(ErrorCode::peer, step,
                  fmt::format("{} has a certificate for another name: {}", peer,
                              cert == nullptr ? "none" : join(certificate_names(cert))))
          .with_hint("use one of these names with --to, or issue a certificate for the name you use with crx-keys");
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
      throw Error(ErrorCode::peer, step,
                  fmt::format("the certificate of {} is from another CA than {}", who, context.files().ca))
          .with_hint("issue the certificates of both hosts from one CA with crx-keys");
    default:
      throw Error(ErrorCode::peer, step,
                  fmt::format("the certificate of {} is refused: {}", who, X509_verify_cert_error_string(result)))
          .with_hint("issue a new one with crx-keys");
  }
}

// Reports the peer's alert about our certificate.
void throw_alert(int reason, const TlsContext& context, const std::string& peer) {
  const std::string& cert = context.files().cert;
  const char* what = nullptr;
  const char* remedy = "issue the certificates of both hosts from one CA with crx-keys";
  switch (reason) {
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
    case SSL_R_TLSV1_ALERT_DECRYPT_ERROR:
      what = "it is from another CA than the peer's ca.pem";
      break;
    case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
      what = "it has expired there";
      remedy = "issue a new certificate for this host with crx-keys, and check both hosts' clocks";
      break;
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
      what = "it is not valid for this use or for the name asked for";
      break;
    case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
      what = "none was sent";
      break;
    default:
      return;
  }
  throw Error(ErrorCode::peer, "authenticating", fmt::format("{} does not accept {}: {}", peer, cert, what))
      .with_hint(remedy);
}

}  // namespace

TlsFiles::TlsFiles(std::string directory)
    : dir(std::move(directory)), ca(dir + "/ca.pem"), cert(dir + "/cert.pem"), key(dir + "/key.pem") {}

void TlsContext::Free::operator()(ossl_lib_ctx_st* library) const noexcept {
  OSSL_LIB_CTX_free(library);
}

void TlsContext::Free::operator()(ssl_ctx_st* ctx) const noexcept {
  SSL_CTX_free(ctx);
}

TlsContext::TlsContext(TlsRole role, const std::string& dir) : role_(role), files_(dir), library_(OSSL_LIB_CTX_new()) {
  if (!library_ || OSSL_PROVIDER_load(library_.get(), "default") == nullptr)
    throw Error(ErrorCode::bug, kTlsContextStep, queue_text());
  if (!add_gcm_provider(library_.get())) ERR_clear_error();
  ctx_.reset(
      SSL_CTX_new_ex(library_.get(), kGcmFirst, role == TlsRole::client ? TLS_client_method() : TLS_server_method()));
  if (!ctx_) throw Error(ErrorCode::bug, kTlsContextStep, queue_text());
  set_rules(ctx_.get(), role);
  load_files(ctx_.get(), files_);
  check_dates(ctx_.get(), files_);
}

ssl_st* TlsContext::new_connection(const std::string& server_name) const {
  SSL* ssl = SSL_new(ctx_.get());
  if (ssl == nullptr) throw Error(ErrorCode::bug, "starting TLS", queue_text());
  if (role_ == TlsRole::server) {
    SSL_set_accept_state(ssl);
    return ssl;
  }
  SSL_set_connect_state(ssl);
  X509_VERIFY_PARAM* param = SSL_get0_param(ssl);
  if (X509_VERIFY_PARAM_set1_ip_asc(param, server_name.c_str()) != 1) {
    ERR_clear_error();
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    SSL_set1_host(ssl, server_name.c_str());
    SSL_set_tlsext_host_name(ssl, server_name.c_str());
  }
  return ssl;
}

PeerIdentity peer_identity(const ssl_st* ssl) {
  PeerIdentity identity;
  X509* cert = SSL_get0_peer_certificate(ssl);
  if (cert == nullptr) return identity;
  identity.names = certificate_names(cert);
  identity.name = identity.names.empty() ? "unnamed" : identity.names.front();
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned length = 0;
  if (X509_digest(cert, EVP_sha256(), digest, &length) == 1) {
    for (unsigned i = 0; i < length; ++i) identity.fingerprint += fmt::format("{:02x}", digest[i]);
  }
  return identity;
}

void require_protocol(const ssl_st* ssl, const TlsContext& context, const std::string& peer) {
  const unsigned char* name = nullptr;
  unsigned length = 0;
  SSL_get0_alpn_selected(ssl, &name, &length);
  if (std::string_view(reinterpret_cast<const char*>(name), length) == kAlpn) return;
  const bool server = context.role() == TlsRole::server;
  throw Error(ErrorCode::peer, "starting TLS",
              fmt::format("{} does not speak crx's protocol (it did not agree on {} by ALPN)", peer, kAlpn))
      .with_hint(server ? kToolsOnly : kAgentThere);
}

void throw_tls_error(const ssl_st* ssl, const TlsContext& context, const std::string& peer) {
  throw_verify_error(ssl, context, peer);
  const unsigned long code = ERR_peek_error();
  if (code == 0 || ERR_GET_LIB(code) != ERR_LIB_SSL) {
    ERR_clear_error();
    return;
  }
  const int reason = ERR_GET_REASON(code);
  throw_alert(reason, context, peer);
  const bool server = context.role() == TlsRole::server;
  switch (reason) {
    case SSL_R_UNEXPECTED_EOF_WHILE_READING:
      ERR_clear_error();
      return;
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
      throw Error(ErrorCode::peer, "checking a client's certificate", peer + " sent no certificate")
          .with_hint("give the client cert.pem and key.pem of this CA");
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_HTTP_REQUEST:
    case SSL_R_NO_APPLICATION_PROTOCOL:
    case SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL:
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
      throw Error(ErrorCode::peer, "starting TLS",
                  fmt::format("{} does not speak crx's protocol ({})", peer, queue_text()))
          .with_hint(server ? kToolsOnly : kAgentThere);
    default:
      throw Error(ErrorCode::peer, "talking TLS", fmt::format("{}: {}", peer, queue_text()));
  }
}

}  // namespace crx::wire
