// Which image of a set a step of the restore takes its orders from.
#pragma once

#include <string>

#include "common/base/error.hpp"

namespace crx {

// The error's text, with the image named where it does not name one. path: of the set.
std::string with_image(const Error& error, const std::string& path);

}  // namespace crx
