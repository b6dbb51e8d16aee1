// Deleted directories, FIFOs, devices and symbolic links.
#pragma once

#include <cstdint>
#include <string>

#include "common/base/fd.hpp"
#include "common/image/schema/regular.pb.h"

namespace crx {

// Makes one anew and takes its name away again; the descriptor is O_PATH, and can be opened by way of /proc/self/fd. It
// gets the name `path` for that moment where nobody has it, else one of ours beside it or in /tmp. Throws Error(kernel)
// naming the path, Error(corrupt_image).
Fd make_ghost_node(const img::ghost_file_entry& entry, const std::string& path, uint32_t ghost);

}  // namespace crx
