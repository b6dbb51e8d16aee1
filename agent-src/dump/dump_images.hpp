// The last touch on the images of a dump: what only a restore from files needs, and what CRIU expects to find.
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

// Into the task's entry among `images`, as vm_flags "ac": private mappings, by their starts, that are charged to the
// commit limit though they are not writable (MemoryMap::commit_charged).
void add_commit_charged(pid_t pid, const std::vector<uint64_t>& starts, ImageStore& images);
// Where the task among `images` has its vDSO.
std::vector<PageRange> vdso_of(const ImageStore& images, pid_t pid);
// The guarded ranges into the task's entry among `images`.
void add_guards(pid_t pid, const std::vector<PageRange>& guards, ImageStore& images);
// What a set of memory only needs besides: inventory and the tree, as of now.
void describe_pre_dump(const std::vector<TaskNode>& tasks, ImageSink& images);
// Moves the images to the set, as CRIU writes them.
void write_images(ImageStore& images, ImageSink& set);

}  // namespace crx
