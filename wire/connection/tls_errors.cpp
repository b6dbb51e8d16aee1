#include "wire/connection/tls_errors.hpp"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <string_view>

#include "common/base/error.hpp"
#include "wire/connection/certificate.hpp"
#include "wire/limits.hpp"

namespace crx::wire {
namespace {

constexpr char kToolsOnly[] = "only the tools of crx may connect here";
constexpr char kAgentThere[] = "is there a crx-agent on that port?";

// Whether a certificate with a fault (certificate_fault()) may have got this result. OpenSSL checks some of it by
// itself.
bool may_hide_a_fault(long result) {
  return result == X509_V_ERR_CERT_REJECTED || result == X509_V_ERR_INVALID_PURPOSE ||
         result == X509_V_ERR_HOSTNAME_MISMATCH || result == X509_V_ERR_IP_ADDRESS_MISMATCH;
}

// Reports the failure of our own check of the peer's certificate.
void throw_verify_error(const SSL* ssl, const TlsContext& context, const std::string& peer) {
  const long result = SSL_get_verify_result(ssl);
  if (result == X509_V_OK) return;
  const bool server = context.role() == TlsRole::server;
  const std::string step = server ? "checking a client's certificate" : "checking the agent's certificate";
  const X509* cert = refused_certificate(ssl);
  const std::string who = cert == nullptr ? peer : fmt::format("{} ({})", peer, joined_names(certificate_names(cert)));
  const char* fault = cert == nullptr ? nullptr : certificate_fault(cert, server ? TlsRole::client : TlsRole::server);
  if (fault != nullptr && may_hide_a_fault(result)) {
    throw Error(ErrorCode::peer, step, fmt::format("the certificate of {} is refused: {}", peer, fault))
        .with_hint("issue a new one for that host with crx-keys");
  }
  switch (result) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
      throw Error(ErrorCode::peer, step,
                  fmt::format("the certificate of {} expired{}", who,
                              cert == nullptr ? "" : " on " + certificate_time(X509_get0_notAfter(cert))))
          .with_hint("issue a new one for it with crx-keys, and check both hosts' clocks");
    case X509_V_ERR_CERT_NOT_YET_VALID:
      throw Error(ErrorCode::peer, step, fmt::format("the certificate of {} is not valid yet", who))
          .with_hint("check both hosts' clocks");
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
      throw Error(ErrorCode::peer, step,
                  fmt::format("{} has a certificate for another name: {}", peer,
                              cert == nullptr ? "none" : joined_names(certificate_names(cert))))
          .with_hint("use one of these names with --to, or issue a certificate for the name you use with crx-keys");
    case X509_V_ERR_CERT_REVOKED:
      throw Error(ErrorCode::peer, step,
                  fmt::format("the certificate of {} is revoked by {}", who, context.files().crl))
          .with_hint("issue a new one for that host with crx-keys --force");
    case X509_V_ERR_UNABLE_TO_GET_CRL:
    case X509_V_ERR_CRL_HAS_EXPIRED:
    case X509_V_ERR_CRL_NOT_YET_VALID:
    case X509_V_ERR_CRL_SIGNATURE_FAILURE:
      throw Error(ErrorCode::peer, step,
                  fmt::format("{} does not tell whether the certificate of {} is revoked: {}", context.files().crl, who,
                              X509_verify_cert_error_string(result)))
          .with_hint("put a new list there, of the authority that issued the certificate");
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
    case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
      what = "it is not valid for this use or for the name asked for";
      break;
    case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
      what = "it is revoked there";
      remedy = "issue a new certificate for this host with crx-keys --force";
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

std::string tls_queue_text() {
  const unsigned long code = ERR_peek_last_error();
  const char* reason = code == 0 ? nullptr : ERR_reason_error_string(code);
  ERR_clear_error();
  return reason == nullptr ? "unknown reason" : reason;
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
                  fmt::format("{} does not speak crx's protocol ({})", peer, tls_queue_text()))
          .with_hint(server ? kToolsOnly : kAgentThere);
    default:
      throw Error(ErrorCode::peer, "talking TLS", fmt::format("{}: {}", peer, tls_queue_text()));
  }
}

}  // namespace crx::wire
