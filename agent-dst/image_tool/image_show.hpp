// Shows the content of an image set, to people or to scripts.
#pragma once

#include <string>

#include "common/image/page_images.hpp"

namespace crx {

// The origin of the set, and the tree of tasks with memory and files: as text, or as one JSON object on one line
// ("sets", the parents last, and "tasks", parents before their children). Throw Error(corrupt_image).
std::string show_set(const ImageSet& set);
std::string show_set_json(const ImageSet& set);

}  // namespace crx
