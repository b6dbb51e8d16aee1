// Owners for OpenSSL's objects.
#pragma once

#include <openssl/cms.h>
#include <openssl/x509_vfy.h>

#include <memory>

namespace crx::wire {

template <auto Free>
struct OpensslFreer {
  template <typename T>
  void operator()(T* object) const noexcept {
    Free(object);
  }
};
inline void free_certificates(STACK_OF(X509) * certificates) noexcept {
  sk_X509_pop_free(certificates, X509_free);
}

using BioPtr = std::unique_ptr<BIO, OpensslFreer<BIO_free>>;
using CmsPtr = std::unique_ptr<CMS_ContentInfo, OpensslFreer<CMS_ContentInfo_free>>;
using StorePtr = std::unique_ptr<X509_STORE, OpensslFreer<X509_STORE_free>>;
using StoreContextPtr = std::unique_ptr<X509_STORE_CTX, OpensslFreer<X509_STORE_CTX_free>>;
using CertificatesPtr = std::unique_ptr<STACK_OF(X509), OpensslFreer<free_certificates>>;

}  // namespace crx::wire
