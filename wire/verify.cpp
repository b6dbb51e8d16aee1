#include "wire/verify.hpp"

#include <fmt/format.h>

#include "common/image/magic.hpp"

namespace crx::wire {

std::vector<DigestRange> digest_ranges(const img::mm_entry& mm) {
  using namespace vma_status;
  std::vector<DigestRange> ranges;
  for (const img::vma_entry& vma : mm.vmas()) {
    if ((vma.status() & (kVdso | kVvar | kVsyscall)) != 0) continue;
    const bool file = (vma.status() & kFilePrivate) != 0;
    if (!file && (vma.status() & kAnonPrivate) == 0) continue;
    ranges.push_back({{vma.start(), vma.end()}, file, file ? vma.pgoff() : 0});
  }
  return ranges;
}

SpaceDigest to_message(PageSpace space, const crx::SpaceDigest& digest) {
  SpaceDigest message;
  message.set_space_kind(static_cast<uint32_t>(space.kind));
  message.set_space(space.id);
  message.set_present_pages(digest.present_pages);
  message.set_digest(std::string(digest.digest.view()));
  for (const PageRange& range : digest.chunk_ranges) {
    Range& piece = *message.add_chunk_ranges();
    piece.set_start(range.start);
    piece.set_end(range.end);
  }
  for (const uint64_t value : digest.chunk_digests) message.add_chunk_digests(value);
  return message;
}

std::optional<std::string> difference(const SpaceDigest& theirs, const crx::SpaceDigest& ours) {
  if (theirs.present_pages() == ours.present_pages && theirs.digest() == ours.digest.view()) return std::nullopt;
  crx::SpaceDigest other;
  for (const Range& range : theirs.chunk_ranges()) other.chunk_ranges.push_back({range.start(), range.end()});
  other.chunk_digests.assign(theirs.chunk_digests().begin(), theirs.chunk_digests().end());
  other.chunk_digests.resize(other.chunk_ranges.size());
  std::string text = fmt::format("{} pages count here, {} at the source", ours.present_pages, theirs.present_pages());
  for (const PageRange& range : differing_chunks(other, ours)) text += fmt::format(", {:#x}-{:#x} differs", range.start, range.end);
  return text;
}

}  // namespace crx::wire
