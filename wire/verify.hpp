// Digests of memory for --verify: both sides compute them from the same description and compare.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "common/image/mm.pb.h"
#include "common/kernel/space_digest.hpp"
#include "wire/messages.pb.h"

namespace crx::wire {

// The mappings whose content counts: private ones, the kernel's own left out.
std::vector<DigestRange> digest_ranges(const img::mm_entry& mm);
SpaceDigest to_message(PageSpace space, const crx::SpaceDigest& digest);
// What differs, in words ("14 of 200 MiB chunks, first 7f00..-7f00.."); nothing where the two are the same.
std::optional<std::string> difference(const SpaceDigest& theirs, const crx::SpaceDigest& ours);

}  // namespace crx::wire
