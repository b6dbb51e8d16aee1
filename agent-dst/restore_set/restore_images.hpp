// Converts the images of a set to the form that the restorers take.
#pragma once

#include <cstdint>
#include <vector>

#include "common/image/image_store.hpp"
#include "common/image/page_images.hpp"
#include "common/image/schema/crx.pb.h"

namespace crx {

// Loads everything except pages. Images that CRIU writes differently are converted to crx's form. The sizes of files
// that the program writes are not compared, since the files may have grown since the dump.
ImageStore load_images(const ImageSet& set);

// From a task's entry: the start addresses of private mappings that are charged to the commit limit though not
// writable, and the guarded ranges.
std::vector<uint64_t> commit_charged_of(const img::crx_task_entry& extra);
std::vector<PageRange> guards_of(const img::crx_task_entry& extra);

}  // namespace crx
