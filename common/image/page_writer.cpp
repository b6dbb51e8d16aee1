#include "common/image/page_writer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <utility>

#include "common/base/error.hpp"
#include "common/image/magic.hpp"
#include "common/image/schema/memory.pb.h"

namespace crx {
namespace {

constexpr uint64_t kMaxEntryPages = std::numeric_limits<uint32_t>::max();

}  // namespace

std::string pagemap_name(PageSpace space) {
  return space.kind == PageSpace::Kind::mm ? image_file::pagemap(space.id) : image_file::pagemap_shmem(space.id);
}

std::optional<PageSpace> space_of_pagemap(std::string_view name) {
  constexpr std::string_view kTask = "pagemap-", kObject = "pagemap-shmem-", kSuffix = ".img";
  if (!name.starts_with(kTask) || !name.ends_with(kSuffix)) return std::nullopt;
  const bool object = name.starts_with(kObject);
  name.remove_prefix(object ? kObject.size() : kTask.size());
  name.remove_suffix(std::min(name.size(), kSuffix.size()));
  PageSpace space{object ? PageSpace::Kind::shmem : PageSpace::Kind::mm, 0};
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), space.id);
  if (error != std::errc() || end != name.data() + name.size()) return std::nullopt;
  return space;
}

PageWriter::PageWriter(DirectorySink& set, PageSpace space, uint32_t pages_id)
    : space_(space), pages_id_(pages_id), file_(set.raw(image_file::pages(pages_id))) {}

uint64_t PageWriter::claim(const std::vector<PageRange>& ranges, std::span<const std::byte> bytes) {
  for (const PageRange& range : ranges) {
    if (!present_.empty() && range.start < present_.back().end) {
      throw Error(ErrorCode::bug, "writing memory images",
                  fmt::format("the page at {:#x} is out of order", range.start));
    }
    append_range(present_, range);
  }
  file_.digest_at(size_, bytes);
  return std::exchange(size_, size_ + bytes.size());
}

void PageWriter::finish(DirectorySink& set, const std::vector<PageRange>& in_parent) const {
  write_pagemap(set, space_, pages_id_, present_, in_parent);
}

void write_pagemap(ImageSink& set, PageSpace space, uint32_t pages_id, const std::vector<PageRange>& present,
                   const std::vector<PageRange>& in_parent) {
  const std::string name = pagemap_name(space);
  img::pagemap_head head;
  head.set_pages_id(pages_id);
  set.append(name, head);
  const auto append = [&](PageRange range, uint32_t flags) {
    while (!range.empty()) {
      const uint64_t count = std::min(range.pages(), kMaxEntryPages);
      img::pagemap_entry entry;
      entry.set_vaddr(range.start);
      entry.set_compat_nr_pages(static_cast<uint32_t>(count));
      entry.set_flags(flags);
      entry.set_nr_pages(count);
      set.append(name, entry);
      range.start += count * kPageSize;
    }
  };
  auto parent = in_parent.begin();
  for (const PageRange& range : present) {
    for (; parent != in_parent.end() && parent->start < range.start; ++parent) append(*parent, pagemap_flag::kParent);
    append(range, pagemap_flag::kPresent);
  }
  for (; parent != in_parent.end(); ++parent) append(*parent, pagemap_flag::kParent);
}

}  // namespace crx
