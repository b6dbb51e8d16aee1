// The directory where a host keeps its own certificate and key.
#pragma once

#include <string>

namespace crx::wire {

// The directory of ca.pem, cert.pem and key.pem: `given` if not empty, else $CRX_TLS_DIR, else /etc/crx/tls.
std::string tls_dir_or_default(const std::string& given);

}  // namespace crx::wire
