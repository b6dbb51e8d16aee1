// Files without a name, created from carried content.
#pragma once

#include <cstdint>
#include <string>

#include "common/base/fd.hpp"
#include "common/image/image_io.hpp"

namespace crx {

// Gives `file` the content and attributes of ghost-file-GHOST.img. Afterwards `file` is open for reading, or is an
// O_PATH descriptor if it is not a regular file. On the first call the file is created in the directory of `path`, its
// former name, and has no name afterwards; if there is no such directory, in /tmp. Throws Error(kernel), which names
// the path, when the disk is full, and Error(corrupt_image).
void fill_ghost(const ImageSource& images, uint32_t ghost, const std::string& path, Fd& file);

}  // namespace crx
