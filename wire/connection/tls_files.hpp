// The files that hold a host's keys and certificates: their paths, opening them, and loading them into OpenSSL.
#pragma once

#include <string>

#include "common/base/fd.hpp"

struct ossl_lib_ctx_st;
struct ssl_ctx_st;

namespace crx::wire {

// The paths of the files in a directory; see tls_dir.hpp for the default directory.
struct TlsFiles {
  explicit TlsFiles(std::string directory);
  std::string dir, ca, cert, key;
};

// The same files, open for reading: a process that may open no files can load them.
struct OpenTlsFiles {
  TlsFiles names;
  Fd ca, cert, key;
};

// Throws Error(refused), which names the file and the remedy, if one is missing or unreadable, or if the private key is
// accessible to others than its owner.
OpenTlsFiles open_tls_files(TlsFiles names);

// Loads the authority's certificates, this host's chain and its key. ctx must belong to `library`. Makes no system
// calls but pread(2). Throws Error(refused), which names the file and the remedy, if one is not PEM, or the key is that
// of another certificate.
void load_tls_files(const OpenTlsFiles& files, ssl_ctx_st* ctx, ossl_lib_ctx_st* library);

}  // namespace crx::wire
