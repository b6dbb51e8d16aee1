// Finds out whether a set has everything that its tasks cannot be restored without.
#pragma once

#include "common/image/image_store.hpp"
#include "common/image/page_images.hpp"

namespace crx {

// images: those of load_images(). A set of CRIU has no manifest that would say which files belong to it. Throws
// Error(corrupt_image), which names the file, if the core, mm, pagemap or fdinfo image of a task is missing, or (in a
// set of CRIU) its directories or the pages of shared memory. Pre-dumps have no state of tasks, and are let through.
void require_task_images(const ImageSet& set, const ImageStore& images);

}  // namespace crx
