// What is in a set of images, as a person would want to read it, or a script.
#pragma once

#include <string>

#include "common/image/page_images.hpp"

namespace crx {

// Where it comes from, and the tree of tasks with memory and files: as text, or as one JSON object on one line
// ("sets", the parents last, and "tasks", parents before their children). Throw Error(corrupt_image).
std::string show_set(const ImageSet& set);
std::string show_set_json(const ImageSet& set);

}  // namespace crx
