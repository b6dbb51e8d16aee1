// Digests of memory for --verify: both sides compute them from the same description and compare.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "common/kernel/memory/space_digest.hpp"
#include "wire/messages.pb.h"

namespace crx::wire {

// The mappings of a stopped task whose content counts: private ones, the kernel's own left out. From its own
// maps: the kernel may have merged at one host what it keeps apart at the other.
std::vector<DigestRange> digest_ranges(pid_t pid);
SpaceDigest to_message(PageSpace space, const crx::SpaceDigest& digest);
// What differs, in words ("14 of 200 MiB chunks, first 7f00..-7f00.."); nothing where the two are the same.
std::optional<std::string> difference(const SpaceDigest& theirs, const crx::SpaceDigest& ours);

}  // namespace crx::wire
