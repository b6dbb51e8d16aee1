// Reads memory from disk: pagemap-*.img lists the pages, pages-N.img holds their content.
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

class SignatureCheck;  // set_check.hpp

// A run of pages and the place of its content.
struct PagePiece {
  PageRange range;
  std::size_t level = 0;  // 0: the set itself, 1: its parent, ...
  uint32_t pages_id = 0;
  uint64_t offset = 0;  // byte offset in pages-PAGES_ID.img of that level
};

// Bytes of pages-PAGES_ID.img of a parent set for which the set itself has newer pages.
struct ReplacedPages {
  std::size_t level = 1;
  uint32_t pages_id = 0;
  uint64_t offset = 0;
  uint64_t bytes = 0;
};

// A set together with all sets that it is based on. open() checks everything except pages; pages are checked against
// the manifest when they are read. Any damage throws Error(corrupt_image) naming the file and the offset. Not
// thread-safe.
class ImageSet {
 public:
  // Opens the set at `path` and follows the `parent` links. Throws Error(corrupt_image) for an incomplete set (without
  // inventory), a set whose files are not those of its manifest, a parent other than the one it was based on, and a
  // cycle. signature: the set and all its parents must be signed as this demands, else Error(refused), and every byte
  // that this object hands out is covered by the signature; nullptr: signatures are not looked at.
  static ImageSet open(const std::string& path, const SignatureCheck* signature = nullptr);
  ImageSet(ImageSet&&) noexcept;
  ImageSet& operator=(ImageSet&&) noexcept;
  ~ImageSet();

  // level 0 is the set itself, level 1 its parent, and so on. images() is level 0.
  const DirectorySource& images() const;
  std::size_t levels() const noexcept;
  const DirectorySource& level(std::size_t index) const;
  // nullptr for a set that CRIU made.
  const Manifest* manifest(std::size_t level = 0) const;
  // The name of the host that signed this level; empty if signatures were not looked at.
  const std::string& signer(std::size_t level) const;

  // The address spaces and objects for which this set has a pagemap.
  std::vector<PageSpace> spaces() const;
  // All pages of a space, ascending. Throws Error if a set refers to a page of its parent that the parent does not
  // have.
  std::vector<PagePiece> pages(PageSpace space) const;
  // The pages of its parents that this set has replaced.
  std::vector<ReplacedPages> replaced() const;
  // Reads the content of a part of a piece into `bytes`, whose size is that of the part. The content is checked.
  void read(const PagePiece& piece, PageRange part, std::span<std::byte> bytes) const;
  // Reads and checks all pages of this set (not of its parents), including those that no pagemap refers to.
  void verify_pages() const;

 private:
  struct Level;
  ImageSet();
  void add_replaced(std::size_t index, const std::string& name, PageRange wanted,
                    std::vector<ReplacedPages>& all) const;
  std::vector<std::unique_ptr<Level>> levels_;
};

}  // namespace crx
