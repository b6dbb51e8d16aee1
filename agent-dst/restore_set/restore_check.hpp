// What would make a restore of a set fail on this host.
#pragma once

#include <sys/types.h>

#include <set>
#include <string>
#include <vector>

#include "agent-dst/preflight/host_requirements.hpp"
#include "common/image/image_store.hpp"
#include "common/image/page_images.hpp"

namespace crx {

// Kernel and CPU against those the set was made on, namespaces, PIDs, memory, users, control groups, ports, and every
// file that is to be opened: there, of the same kind, size and build. Creates nothing. thorough: what the kernel and
// our privileges lack as well, which takes some milliseconds and forks.
std::vector<Shortfall> check_restore(const ImageSet& set, const ImageStore& images, bool thorough);

// The numbers of the tree's processes and threads.
std::set<pid_t> numbers_of(const ImageStore& images);

}  // namespace crx
