#include "wire/connection/tls_dir.hpp"

#include <cstdlib>

namespace crx::wire {

std::string tls_dir_or_default(const std::string& given) {
  if (!given.empty()) return given;
  const char* from_environment = std::getenv("CRX_TLS_DIR");
  return from_environment != nullptr && *from_environment != '\0' ? from_environment : "/etc/crx/tls";
}

}  // namespace crx::wire
