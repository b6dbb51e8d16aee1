// Files without a name, made from carried content.
#pragma once

#include <cstdint>
#include <string>

#include "common/base/fd.hpp"
#include "common/image/image_io.hpp"

namespace crx {

// Makes `file` what ghost-file-GHOST.img says; it is open for reading afterwards, or (O_PATH) for being found where it
// is no regular file. Made the first time: in the directory of `path`, the name it once had, where it has no name
// afterwards; where there is no such directory, in /tmp. Throws Error(kernel) naming the path when the disk is full,
// Error(corrupt_image).
void fill_ghost(const ImageSource& images, uint32_t ghost, const std::string& path, Fd& file);

}  // namespace crx
