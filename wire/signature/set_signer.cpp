#include "wire/signature/set_signer.hpp"

#include <fmt/format.h>
#include <openssl/ssl.h>

#include <utility>

#include "common/base/error.hpp"
#include "wire/connection/certificate.hpp"
#include "wire/connection/gcm_provider.hpp"
#include "wire/connection/tls_errors.hpp"
#include "wire/signature/openssl_ptr.hpp"

namespace crx::wire {
namespace {

constexpr char kSigning[] = "signing the image set";
constexpr char kIssueHere[] = "issue a new certificate for this host with crx-keys";

}  // namespace

SetSigner::SetSigner(const std::string& dir, const std::string& crl) : keys_(TlsRole::client, dir, crl) {
  if (const char* fault = signer_fault(SSL_CTX_get0_certificate(keys_.get()))) {
    throw Error(ErrorCode::refused, kSigning,
                fmt::format("nobody accepts a signature of {}: {}", keys_.files().cert, fault))
        .with_hint(kIssueHere);
  }
  // CMS of OpenSSL 3.0 has no Ed25519, which TLS has; it is better to know before anything is stopped.
  if (!try_sign("a trial")) throw cannot_sign(ErrorCode::refused).with_hint(kIssueHere);
}

std::string SetSigner::sign(std::string_view bytes) const {
  std::optional<std::string> signature = try_sign(bytes);
  if (!signature) throw cannot_sign(ErrorCode::bug);
  return std::move(*signature);
}

Error SetSigner::cannot_sign(ErrorCode code) const {
  return Error(code, kSigning, keys_.files().key + " cannot sign image sets: " + tls_queue_text());
}

std::optional<std::string> SetSigner::try_sign(std::string_view bytes) const {
  STACK_OF(X509)* chain = nullptr;
  SSL_CTX_get0_chain_certs(keys_.get(), &chain);
  const BioPtr content(BIO_new_mem_buf(bytes.data(), static_cast<int>(bytes.size())));
  const CmsPtr cms(CMS_sign_ex(SSL_CTX_get0_certificate(keys_.get()), SSL_CTX_get0_privatekey(keys_.get()), chain,
                               content.get(), CMS_DETACHED | CMS_BINARY | CMS_NOSMIMECAP, keys_.library(), kGcmFirst));
  unsigned char* der = nullptr;
  const int size = cms ? i2d_CMS_ContentInfo(cms.get(), &der) : -1;
  if (size <= 0) return std::nullopt;
  std::string signature(reinterpret_cast<const char*>(der), static_cast<std::size_t>(size));
  OPENSSL_free(der);
  return signature;
}

}  // namespace crx::wire
