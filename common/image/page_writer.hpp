// Writes memory to disk: pagemap-*.img lists the pages, pages-N.img holds their content.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/page.hpp"
#include "common/image/image_directory.hpp"

namespace crx {

// "pagemap-PID.img" or "pagemap-shmem-SHMID.img".
std::string pagemap_name(PageSpace space);
// The space of a pagemap file with this name; nullopt for all other names.
std::optional<PageSpace> space_of_pagemap(std::string_view name);

// Writes the pagemap of a space to `set`: `present` is in pages-PAGES_ID.img, `in_parent` in the parent set (ascending,
// disjoint from `present`).
void write_pagemap(ImageSink& set, PageSpace space, uint32_t pages_id, const std::vector<PageRange>& present,
                   const std::vector<PageRange>& in_parent);

// Writes the pages of one address space or object. Pages must come in ascending order.
class PageWriter {
 public:
  // The page file gets the name pages-PAGES_ID.img. `set` must outlive this object.
  PageWriter(DirectorySink& set, PageSpace space, uint32_t pages_id);
  // Adds pages. `bytes`: the contents of the ranges' pages, one after another.
  void add(const std::vector<PageRange>& ranges, std::span<const std::byte> bytes) {
    write(claim(ranges, bytes), bytes);
  }
  // The two halves of add(). claim() announces the next pages and returns their offset in the file; write() writes
  // them, from any thread and in any order.
  uint64_t claim(const std::vector<PageRange>& ranges, std::span<const std::byte> bytes);
  void write(uint64_t offset, std::span<const std::byte> bytes) const { file_.write_at(offset, bytes); }
  // Writes the pagemap: the pages that were added, and `in_parent` (ascending, disjoint from them), whose content the
  // parent set has.
  void finish(DirectorySink& set, const std::vector<PageRange>& in_parent) const;
  uint64_t pages() const noexcept { return total_pages(present_); }

 private:
  PageSpace space_;
  uint32_t pages_id_;
  RawImage& file_;
  std::vector<PageRange> present_;
  uint64_t size_ = 0;
};

}  // namespace crx
