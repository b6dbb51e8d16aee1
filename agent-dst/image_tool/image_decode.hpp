// Images as JSON.
#pragma once

#include <string>

#include "common/image/image_io.hpp"

namespace crx {

// One image: {"image": NAME, "entries": [...]}, each entry as protobuf's JSON; data that follow an entry appear as
// "raw_bytes", their number. Pages have no entries: {"image": NAME, "bytes": N}. Throws Error(corrupt_image).
std::string image_to_json(const ImageSource& images, const std::string& name);

}  // namespace crx
