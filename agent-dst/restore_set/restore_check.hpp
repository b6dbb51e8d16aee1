// Finds out what would make a restore of a set fail on this host.
#pragma once

#include <sys/types.h>

#include <set>
#include <string>
#include <vector>

#include "agent-dst/preflight/host_requirements.hpp"
#include "common/image/image_store.hpp"
#include "common/image/page_images.hpp"

namespace crx {

// Compares kernel and CPU with those of the dump, and checks namespaces, PIDs, memory, users, control groups, ports,
// and that every file to be opened exists with the same kind, size and build id. Creates nothing. thorough: also checks
// kernel features and our privileges, which takes some milliseconds and forks.
std::vector<Shortfall> check_restore(const ImageSet& set, const ImageStore& images, bool thorough);

// The ids of all processes and threads of the tree.
std::set<pid_t> numbers_of(const ImageStore& images);

}  // namespace crx
