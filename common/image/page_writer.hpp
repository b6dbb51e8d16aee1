// Writing memory to disk: pagemap-*.img, which says which pages there are, and pages-N.img, which holds them.
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
// Of a file of this name; nothing for all other files.
std::optional<PageSpace> space_of_pagemap(std::string_view name);

// Writes the pages of one address space or object. Pages come in ascending order.
class PageWriter {
 public:
  // The pages file gets the name pages-PAGES_ID.img.
  PageWriter(DirectorySink& set, PageSpace space, uint32_t pages_id);
  // `bytes`: of the ranges' pages, one after another.
  void add(const std::vector<PageRange>& ranges, std::span<const std::byte> bytes) {
    write(claim(ranges, bytes), bytes);
  }
  // The two halves of add(). claim: says what comes next; where in the file it belongs. write: any thread, any order.
  uint64_t claim(const std::vector<PageRange>& ranges, std::span<const std::byte> bytes);
  void write(uint64_t offset, std::span<const std::byte> bytes) const { file_.write_at(offset, bytes); }
  // The pagemap: what was added, and `in_parent` (ascending, disjoint from it), whose content the parent set has.
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
