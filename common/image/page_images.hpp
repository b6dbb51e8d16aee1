// Reading memory on disk: pagemap-*.img, which says which pages there are, and pages-N.img, which holds them.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/page.hpp"
#include "common/image/image_directory.hpp"
#include "common/image/page_writer.hpp"

namespace crx {

// A run of pages and where its content is.
struct PagePiece {
  PageRange range;
  std::size_t level = 0;  // 0: the set itself, 1: its parent, ...
  uint32_t pages_id = 0;
  uint64_t offset = 0;  // bytes into pages-PAGES_ID.img of that level
};

// Bytes of pages-PAGES_ID.img of a parent set that the set itself has anew.
struct ReplacedPages {
  std::size_t level = 1;
  uint32_t pages_id = 0;
  uint64_t offset = 0;
  uint64_t bytes = 0;
};

// A set with all sets it was made against. Everything but pages is checked by open(); pages are checked against the
// manifest when they are read. What is wrong is Error(corrupt_image) naming the file and the offset. Not thread-safe.
class ImageSet {
 public:
  // Follows the `parent` links. An incomplete set (no inventory), a set whose files are not those of its manifest, a
  // parent that is not the one it was made against, a cycle: Error(corrupt_image).
  static ImageSet open(const std::string& path);
  ImageSet(ImageSet&&) noexcept;
  ImageSet& operator=(ImageSet&&) noexcept;
  ~ImageSet();

  const DirectorySource& images() const;
  std::size_t levels() const noexcept;
  const DirectorySource& level(std::size_t index) const;
  // nullptr: made by CRIU.
  const Manifest* manifest(std::size_t level = 0) const;

  // What this set has a pagemap of.
  std::vector<PageSpace> spaces() const;
  // All pages of a space, ascending. Error where a set says that its parent has a page and it has not.
  std::vector<PagePiece> pages(PageSpace space) const;
  // What this set has replaced in its parents.
  std::vector<ReplacedPages> replaced() const;
  // The content of a part of a piece, into `bytes` (as many as the range has). Checked.
  void read(const PagePiece& piece, PageRange part, std::span<std::byte> bytes) const;
  // Reads all pages of this set (not of its parents) and checks them; those that nothing refers to as well.
  void verify_pages() const;

 private:
  struct Level;
  ImageSet();
  void add_replaced(std::size_t index, const std::string& name, PageRange wanted,
                    std::vector<ReplacedPages>& all) const;
  std::vector<std::unique_ptr<Level>> levels_;
};

}  // namespace crx
