// Files without a name, made from carried content.
#pragma once

#include <cstdint>
#include <string>

#include "common/base/fd.hpp"
#include "common/image/image_io.hpp"

namespace crx {

// Gives `file` the owner, mode, size and content of ghost-file-GHOST.img. An empty `file` is made first: in the directory of
// `path`, the name it once had, without giving it a name again; where there is no such directory, in /tmp. Throws
// Error(kernel) naming the path when the disk is full, Error(corrupt_image).
void fill_ghost(const ImageSource& images, uint32_t ghost, const std::string& path, Fd& file);

}  // namespace crx
