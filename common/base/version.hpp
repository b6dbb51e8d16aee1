// The version that --version prints and that the hosts exchange.
#pragma once

#include <string>

namespace crx {

// The version of the project, set by the build: "0.1.0".
std::string version();
// "TOOL (crx) 0.1.0", the line that --version prints.
std::string version_text(const std::string& tool);

}  // namespace crx
