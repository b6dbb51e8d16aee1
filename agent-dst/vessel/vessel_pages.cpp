// Writes, drops, clears and guards the pages of a vessel.
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <algorithm>
#include <iterator>

#include "agent-dst/vessel/mapping_writer.hpp"
#include "agent-dst/vessel/vessel_memory.hpp"
#include "common/base/error.hpp"

namespace crx {

const Vma& VesselMemory::vma_at(uint64_t addr) const {
  const auto after =
      std::upper_bound(vmas_.begin(), vmas_.end(), addr, [](uint64_t a, const Vma& v) { return a < v.start; });
  if (after == vmas_.begin() || std::prev(after)->end <= addr) {
    throw Error(ErrorCode::peer, "writing pages", fmt::format("{:#x} is in no mapping of the vessel", addr));
  }
  return *std::prev(after);
}

void VesselMemory::write_pages(const std::vector<PageRange>& ranges, std::span<const std::byte> bytes) {
  MappingWriter writer(calls_, mem_.get(), vmas_, first_pages_);
  for (const PageRange& range : ranges) {
    for (uint64_t at = range.start; at < range.end;) {
      const Vma& vma = vma_at(at);
      const std::size_t size = std::min(range.end, vma.end) - at;
      if (bytes.size() < size) throw Error(ErrorCode::peer, "writing pages", "the page data are too short");
      writer.write(vma, at, bytes.first(size));
      bytes = bytes.subspan(size);
      at += size;
    }
  }
  writer.flush();
}

void VesselMemory::advise_pages(const char* what, const std::vector<PageRange>& ranges, int advice) {
  for (std::size_t done = 0; done < ranges.size();) {
    const ArenaScope scratch(calls_.arena());
    RemoteBatch batch = calls_.batch(1024);
    for (; done < ranges.size() && !batch.full(); ++done)
      batch.add(what, SYS_madvise, ranges[done].start, ranges[done].bytes(), advice);
    calls_.run_checked(batch);
  }
}

void VesselMemory::drop_pages(const std::vector<PageRange>& ranges) {
  advise_pages("dropping pages", ranges, MADV_DONTNEED);
}

void VesselMemory::guard_pages(const std::vector<PageRange>& ranges) {
  guards_ = ranges;
  advise_pages("guarding pages", ranges, 102 /* MADV_GUARD_INSTALL, Linux 6.13 */);
}

void VesselMemory::clear_pages(const std::vector<PageRange>& ranges) {
  // Zeros are written to the others: a part of a huge page cannot be dropped, and a dropped page of a private file
  // mapping would read as the file.
  std::vector<PageRange> anonymous, others;
  for (const PageRange& range : ranges) {
    for (uint64_t at = range.start; at < range.end;) {
      const Vma& vma = vma_at(at);
      const uint64_t end = std::min(range.end, vma.end);
      append_range(vma.kind() == Vma::Kind::anonymous ? anonymous : others, {at, end});
      at = end;
    }
  }
  drop_pages(anonymous);
  if (others.empty()) return;
  const std::vector<std::byte> zeros(uint64_t{1} << 20);
  for (const PageRange& range : others) {
    for (uint64_t at = range.start; at < range.end; at += zeros.size()) {
      const PageRange part{at, std::min(range.end, at + zeros.size())};
      write_pages({part}, std::span(zeros).first(part.bytes()));
    }
  }
}

}  // namespace crx
