#include "wire/signature/trusted_signers.hpp"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "common/base/error.hpp"
#include "wire/connection/certificate.hpp"
#include "wire/connection/tls_errors.hpp"
#include "wire/signature/openssl_ptr.hpp"

namespace crx::wire {
namespace {

constexpr char kTrustedSignersStep[] = "checking the signature of the image set";
constexpr char kWholeCopy[] = "use another copy of the set";
constexpr char kNewCertificate[] = "issue a new certificate for that host with crx-keys, and dump again";
constexpr int kSecurityLevel = 2;  // as for connections: 112 bits, no SHA-1

Error refused_signature(const std::string& shown, std::string why, std::string remedy) {
  return Error(ErrorCode::refused, kTrustedSignersStep, std::move(why)).with_image(shown).with_hint(std::move(remedy));
}

// Throws unless the content is signed by the certificate that the signature names, and contains; returns this
// certificate, which belongs to `cms`.
X509* check_content(CMS_ContentInfo* cms, std::string_view content, const std::string& shown) {
  const STACK_OF(CMS_SignerInfo)* signers = CMS_get0_SignerInfos(cms);
  if (signers == nullptr || sk_CMS_SignerInfo_num(signers) != 1 || CMS_is_detached(cms) != 1)
    throw refused_signature(shown, "it is not one detached signature", kWholeCopy);
  const BioPtr bytes(BIO_new_mem_buf(content.data(), static_cast<int>(content.size())));
  // The certificate is checked afterwards, by the rules for peers and not by those for mail.
  if (CMS_verify(cms, nullptr, nullptr, bytes.get(), nullptr, CMS_BINARY | CMS_NO_SIGNER_CERT_VERIFY) != 1) {
    ERR_clear_error();
    throw refused_signature(
        shown, "it is not a signature of this set: it, or crx-integrity.img, was altered, or is another set's",
        kWholeCopy);
  }
  X509* cert = nullptr;
  CMS_SignerInfo_get0_algs(sk_CMS_SignerInfo_value(signers, 0), nullptr, &cert, nullptr, nullptr);
  if (cert == nullptr) throw refused_signature(shown, "it does not contain its certificate", kWholeCopy);
  return cert;
}

// The reason why OpenSSL refuses the certificate.
Error refused_certificate(const std::string& shown, const std::string& who, int result, const X509* cert,
                          const TlsFiles& files) {
  switch (result) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return refused_signature(shown,
                               fmt::format("the certificate of {}, which signed it, expired on {}", who,
                                           certificate_time(X509_get0_notAfter(cert))),
                               "dump the program again on a host with a valid certificate, or leave out "
                               "--require-signature if you trust the set");
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return refused_signature(shown,
                               fmt::format("the certificate of {}, which signed it, is valid only from {}", who,
                                           certificate_time(X509_get0_notBefore(cert))),
                               "check this host's clock");
    case X509_V_ERR_CERT_REVOKED:
      return refused_signature(
          shown, fmt::format("the certificate of {}, which signed it, is in {}: it is revoked", who, files.crl),
          "use a set that another host has signed");
    case X509_V_ERR_CRL_HAS_EXPIRED:
    case X509_V_ERR_CRL_NOT_YET_VALID:
    case X509_V_ERR_UNABLE_TO_GET_CRL:
      return refused_signature(
          shown, fmt::format("{} says nothing about {}: {}", files.crl, who, X509_verify_cert_error_string(result)),
          "make a new list with crx-keys --revoke or openssl ca -gencrl");
    case X509_V_ERR_INVALID_PURPOSE:
      return refused_signature(
          shown, fmt::format("the certificate of {}, which signed it, is not for signing: it is not for clients", who),
          kNewCertificate);
    default:
      return refused_signature(
          shown,
          fmt::format("{} signed it, whose certificate is not from {}: {}", who, files.ca,
                      X509_verify_cert_error_string(result)),
          "use a set that was signed by a host of this authority, or the --tls-dir of the right authority");
  }
}

}  // namespace

void TrustedSigners::Free::operator()(x509_store_st* store) const noexcept {
  X509_STORE_free(store);
}

TrustedSigners::TrustedSigners(const std::string& dir, const std::string& crl)
    : files_(dir, crl), store_(X509_STORE_new()) {
  if (!store_) throw Error(ErrorCode::bug, kTrustedSignersStep, tls_queue_text());
  load_trust(open_trust_files(files_), store_.get(), nullptr);
  X509_VERIFY_PARAM* rules = X509_STORE_get0_param(store_.get());
  X509_VERIFY_PARAM_set_purpose(rules, X509_PURPOSE_SSL_CLIENT);
  X509_VERIFY_PARAM_set_depth(rules, 4);
  X509_VERIFY_PARAM_set_auth_level(rules, kSecurityLevel);
}

std::string TrustedSigners::signer(std::string_view manifest, std::string_view signature,
                                   const std::string& shown) const {
  if (signature.size() > kMaxSignatureBytes)
    throw refused_signature(shown, "it is too large for a signature", kWholeCopy);
  ERR_clear_error();
  const auto* der = reinterpret_cast<const unsigned char*>(signature.data());
  const unsigned char* at = der;
  const CmsPtr cms(d2i_CMS_ContentInfo(nullptr, &at, static_cast<long>(signature.size())));
  if (!cms || at != der + signature.size() || OBJ_obj2nid(CMS_get0_type(cms.get())) != NID_pkcs7_signed) {
    ERR_clear_error();
    throw refused_signature(shown, "it is not a signature", kWholeCopy);
  }
  X509* cert = check_content(cms.get(), manifest, shown);
  const std::string who = joined_names(certificate_names(cert));
  const CertificatesPtr chain(CMS_get1_certs(cms.get()));
  const StoreContextPtr context(X509_STORE_CTX_new());
  if (!context || X509_STORE_CTX_init(context.get(), store_.get(), cert, chain.get()) != 1)
    throw Error(ErrorCode::bug, kTrustedSignersStep, tls_queue_text());
  if (X509_verify_cert(context.get()) != 1) {
    const int result = X509_STORE_CTX_get_error(context.get());
    ERR_clear_error();
    const X509* faulty = X509_STORE_CTX_get_current_cert(context.get());
    throw refused_certificate(shown, who, result, faulty == nullptr ? cert : faulty, files_);
  }
  if (const char* fault = signer_fault(cert)) {
    throw refused_signature(shown,
                            fmt::format("the certificate of {}, which signed it, is not for signing: {}", who, fault),
                            kNewCertificate);
  }
  return who;
}

}  // namespace crx::wire
