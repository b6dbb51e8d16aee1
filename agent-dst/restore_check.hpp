// What would make a restore of a set fail on this host.
#pragma once

#include <string>
#include <vector>

#include "common/image/image_store.hpp"
#include "common/image/page_images.hpp"

namespace crx {

// One line for the user: "object: reason; remedy".
struct RestoreFinding {
  std::string object, reason, remedy;
};

// Kernel and CPU against those the set was made on, PIDs, memory, and every file that is to be opened: there, of the same
// kind, size and build. Creates nothing.
std::vector<RestoreFinding> check_restore(const ImageSet& set, const ImageStore& images);

}  // namespace crx
