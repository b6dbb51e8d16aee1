// Signs image sets with the certificate of this host.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "common/base/error.hpp"
#include "wire/connection/tls_context.hpp"

namespace crx::wire {

// Loaded once and then immutable.
class SetSigner {
 public:
  // Reads DIR/{ca,cert,key}.pem as for a connection; crl: see TlsFiles. Throws Error(refused), which names the file and
  // the remedy, if one is faulty, if nobody would accept a signature of this certificate, or if the key is of a kind
  // that cannot sign.
  explicit SetSigner(const std::string& dir, const std::string& crl = {});

  // The signature of the bytes: CMS (RFC 5652) in DER, detached, with the host's chain of certificates.
  // Throws Error(bug) if the key cannot be used.
  std::string sign(std::string_view bytes) const;

 private:
  // nullopt: the reason is in OpenSSL's error queue, from which cannot_sign() takes it.
  std::optional<std::string> try_sign(std::string_view bytes) const;
  Error cannot_sign(ErrorCode code) const;

  TlsContext keys_;
};

}  // namespace crx::wire
