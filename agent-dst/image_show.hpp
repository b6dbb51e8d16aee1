// A set of images as a person would want to read it.
#pragma once

#include <string>

#include "common/image/page_images.hpp"

namespace crx {

// Text: where it comes from, and the tree of tasks with memory and files. Throws Error(corrupt_image).
std::string show_set(const ImageSet& set);

}  // namespace crx
