#include "wire/verify.hpp"

#include <fmt/format.h>

#include "common/base/fd.hpp"
#include "common/proc/maps.hpp"

namespace crx::wire {

std::vector<DigestRange> digest_ranges(pid_t pid) {
  std::vector<DigestRange> ranges;
  for (const proc::MapsEntry& map : proc::parse_maps(read_file(fmt::format("/proc/{}/maps", pid)))) {
    const bool special = map.kind == proc::MapKind::vdso || map.kind == proc::MapKind::vvar ||
                         map.kind == proc::MapKind::vvar_vclock || map.kind == proc::MapKind::vsyscall;
    const bool ring = map.kind == proc::MapKind::aio_ring;  // transferred like private memory
    if ((map.shared && !ring) || special) continue;
    const bool file = map.has_inode() && !ring;
    ranges.push_back({{map.start, map.end}, file, file ? map.pgoff : 0});
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
  for (const PageRange& range : differing_chunks(other, ours))
    text += fmt::format(", {:#x}-{:#x} differs", range.start, range.end);
  return text;
}

}  // namespace crx::wire
