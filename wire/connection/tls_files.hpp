// The files that hold a host's keys and certificates: their paths, opening them, and loading them into OpenSSL.
#pragma once

#include <string>

#include "common/base/fd.hpp"

struct ossl_lib_ctx_st;
struct ssl_ctx_st;
struct x509_store_st;

namespace crx::wire {

struct RemoteKey;

// The paths of the files in a directory; see tls_dir.hpp for the default directory.
struct TlsFiles {
  // revocations: the list of revoked certificates; empty: DIR/crl.pem, if that exists.
  explicit TlsFiles(std::string directory, std::string revocations = {});
  std::string dir, ca, cert, key, crl;
  bool crl_required = false;  // the list was named, so it is an error if it is missing
};

// The same files, open for reading: a process that may open no files can load them.
struct OpenTlsFiles {
  TlsFiles names;
  Fd ca, cert, key;
  Fd crl;  // empty: no certificate is revoked
};

// Throws Error(refused), which names the file and the remedy, if one is missing or unreadable, or if the private key is
// accessible to others than its owner.
OpenTlsFiles open_tls_files(TlsFiles names);

// The same for the authority and the list only; `cert` and `key` stay empty.
OpenTlsFiles open_trust_files(TlsFiles names);

// Loads the authority's certificates and the list of revoked certificates into `store`, with the rules of
// load_tls_files() for them.
void load_trust(const OpenTlsFiles& files, x509_store_st* store, ossl_lib_ctx_st* library);

// Loads the authority's certificates, this host's chain, its key, and the list of revoked certificates (CRL, RFC 5280);
// with a list, each certificate of a peer's chain must have an issuer whose list is there and up to date. ctx must
// belong to `library`. Makes no system calls but pread(2). Throws Error(refused), which names the file and the remedy,
// if one is not PEM, or the key is that of another certificate. remote: signs in place of the key, which is not read
// then; nullptr: none. It must outlive ctx, and its provider must be loaded.
void load_tls_files(const OpenTlsFiles& files, ssl_ctx_st* ctx, ossl_lib_ctx_st* library, RemoteKey* remote);

}  // namespace crx::wire
