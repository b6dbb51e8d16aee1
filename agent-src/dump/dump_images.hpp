// Completes the images of a dump: adds what only a restore from files needs, and what CRIU expects to find.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <vector>

#include "agent-src/tree/process_tree.hpp"
#include "common/base/page.hpp"
#include "common/image/image_store.hpp"
#include "common/image/schema/crx.pb.h"
#include "common/image/schema/mm.pb.h"

namespace crx {

// Adds vm_flags "ac" to the entry of the task among `images`, for private mappings that are charged to the commit limit
// although they are not writable. starts: their start addresses (MemoryMap::commit_charged). Throws Error if the task's
// images are missing.
void add_commit_charged(pid_t pid, const std::vector<uint64_t>& starts, ImageStore& images);
// Returns where the task among `images` has its vDSO. Throws Error if the task's mm image is missing.
std::vector<PageRange> vdso_of(const ImageStore& images, pid_t pid);
// Adds the guarded ranges to the entry of the task among `images`. Throws Error if the entry is missing.
void add_guards(pid_t pid, const std::vector<PageRange>& guards, ImageStore& images);
// Writes what a set with nothing but memory needs besides its pages: the inventory, and the tree as it is now.
void describe_pre_dump(const std::vector<TaskNode>& tasks, ImageSink& images);
// Moves the images to the set, in the form in which CRIU writes them. Throws Error as the sink does.
void write_images(ImageStore& images, ImageSink& set);

}  // namespace crx
