#include "common/base/version.hpp"

#ifndef CRX_VERSION
#define CRX_VERSION "0.1.0"
#endif

namespace crx {

std::string version() {
  return CRX_VERSION;
}
std::string version_text(const std::string& tool) {
  return tool + " (crx) " + version();
}

}  // namespace crx
