// Digests of memory for --verify: both hosts compute them from the same description, and the destination compares them.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "common/kernel/memory/space_digest.hpp"
#include "wire/messages.pb.h"

namespace crx::wire {

// The mappings of a stopped task whose content is compared: the private ones, without those of the kernel itself. They
// are read from the task's own maps, since one kernel may have merged mappings that the other keeps apart.
std::vector<DigestRange> digest_ranges(pid_t pid);
SpaceDigest to_message(PageSpace space, const crx::SpaceDigest& digest);
// A description of the difference ("14 of 200 MiB chunks, first 7f00..-7f00.."); nullopt when there is none.
std::optional<std::string> difference(const SpaceDigest& theirs, const crx::SpaceDigest& ours);

}  // namespace crx::wire
