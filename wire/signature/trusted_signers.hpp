// Whose signatures of image sets count: those of the hosts that the authority has given certificates.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "common/image/set_check.hpp"
#include "wire/connection/tls_files.hpp"

struct x509_st;
struct x509_store_st;

namespace crx::wire {

// A signature may be so large; the largest real ones, with a chain of certificates of RSA, have some 10 KiB.
inline constexpr std::size_t kMaxSignatureBytes = std::size_t{64} << 10;

// Loaded once and then immutable.
class TrustedSigners final : public SignatureCheck {
 public:
  // Reads DIR/ca.pem and the list of revoked certificates (crl: see TlsFiles). Throws Error(refused), which names the
  // file and the remedy, if one is missing or faulty.
  explicit TrustedSigners(const std::string& dir, const std::string& crl = {});

  // Accepts one detached signature over exactly `manifest`, of a certificate that a peer of a connection may have now,
  // and whose keyUsage has digitalSignature. Returns the names in the certificate. Throws Error(refused).
  std::string signer(std::string_view manifest, std::string_view signature, const std::string& shown) const override;

 private:
  struct Free {
    void operator()(x509_store_st* store) const noexcept;
  };
  TlsFiles files_;
  std::unique_ptr<x509_store_st, Free> store_;
};

}  // namespace crx::wire
