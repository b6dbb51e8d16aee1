// The signer: the process of crx-agent that has the private key. Unprivileged; see agent-dst/sandbox.
#pragma once

#include <cstdint>

#include "common/base/fd.hpp"
#include "wire/connection/tls_files.hpp"

namespace crx::signer {

struct SignerOptions {
  wire::OpenTlsFiles files;
  uint32_t keys = 0;  // the number of these keys
  Fd supervisor;      // exchanges packets of ipc/signer_packets.hpp
};

// Reads the keys, drops all privileges, sends `ready` (or `failed`) to the supervisor and serves until that ends.
// Returns the exit code. The process must have been forked just before and be single-threaded.
int run_signer(SignerOptions options);

}  // namespace crx::signer
