// Deleted directories, FIFOs, devices and symbolic links.
#pragma once

#include <cstdint>
#include <string>

#include "common/base/fd.hpp"
#include "common/image/schema/regular.pb.h"

namespace crx {

// Creates such a node again and removes its name. The returned descriptor is O_PATH; it can be opened through
// /proc/self/fd. For a moment the node has a name of crx in the directory `ghosts`; if that is empty, the name `path`
// if that is free, else a name of crx beside it or in /tmp. Throws Error(kernel), which names the path, and
// Error(corrupt_image).
Fd make_ghost_node(const img::ghost_file_entry& entry, const std::string& path, uint32_t ghost,
                   const std::string& ghosts);

}  // namespace crx
