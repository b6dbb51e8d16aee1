// The images of a set in the form that restorers take.
#pragma once

#include <cstdint>
#include <vector>

#include "common/image/image_store.hpp"
#include "common/image/page_images.hpp"
#include "common/image/schema/crx.pb.h"

namespace crx {

// Everything but pages. What CRIU writes otherwise than crx is made alike; the sizes of files that the program writes
// are compared as a revival from disk needs it: they may have grown since.
ImageStore load_images(const ImageSet& set);

// Of a task: starts of private mappings to be charged though not writable, and the guarded ranges.
std::vector<uint64_t> commit_charged_of(const img::crx_task_entry& extra);
std::vector<PageRange> guards_of(const img::crx_task_entry& extra);

}  // namespace crx
