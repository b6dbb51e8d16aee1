// The version that --version prints and that hosts tell each other.
#pragma once

#include <string>

namespace crx {

// The project's version, set by the build: "0.1.0".
std::string version();
// "TOOL (crx) 0.1.0", as --version prints it.
std::string version_text(const std::string& tool);

}  // namespace crx
