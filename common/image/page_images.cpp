#include "common/image/page_images.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "common/base/error.hpp"
#include "common/image/image_reader.hpp"
#include "common/image/magic.hpp"
#include "common/image/schema/memory.pb.h"
#include "common/image/set_check.hpp"

namespace crx {

struct PageTableEntry {
  PageRange range;
  bool present = false;
  uint64_t offset = 0;  // byte offset in the page file
};

struct PageTable {
  uint32_t pages_id = 0;
  std::vector<PageTableEntry> entries;

  // The first entry that ends after `addr`.
  std::vector<PageTableEntry>::const_iterator first_after(uint64_t addr) const {
    return std::partition_point(entries.begin(), entries.end(),
                                [addr](const PageTableEntry& e) { return e.range.end <= addr; });
  }
};

namespace {

constexpr std::size_t kMaxLevels = 256;
constexpr char kPutParentBack[] = "put that set back where the link leads, or let the link lead to it";
constexpr char kPageImagesStep[] = "reading memory images";

PageTable read_table(ImageReader image) {
  PageTable table;
  table.pages_id = image.expect<img::pagemap_head>().pages_id();
  uint64_t offset = 0;
  uint64_t last = 0;
  for (img::pagemap_entry entry; image.next(entry);) {
    const uint64_t count = entry.has_nr_pages() && entry.nr_pages() != 0 ? entry.nr_pages() : entry.compat_nr_pages();
    if (entry.vaddr() % kPageSize != 0 || entry.vaddr() < last) image.fail("pages are out of order");
    if (entry.vaddr() > kEndOfUserSpace5 || count > (kEndOfUserSpace5 - entry.vaddr()) / kPageSize)
      image.fail("pages lie outside user space");
    if (count == 0) continue;
    const PageRange range{entry.vaddr(), entry.vaddr() + count * kPageSize};
    last = range.end;
    uint32_t flags = entry.has_flags() ? entry.flags() : pagemap_flag::kPresent;
    if (entry.in_parent()) flags = pagemap_flag::kParent;
    if ((flags & pagemap_flag::kPresent) != 0) {
      table.entries.push_back({range, true, offset});
      offset += range.bytes();
    } else if ((flags & pagemap_flag::kParent) != 0) {
      table.entries.push_back({range, false, 0});
    } else if ((flags & pagemap_flag::kLazy) != 0) {
      image.fail("its pages were left at the source (lazy pages)");
    }
  }
  return table;
}

void read_exactly(int fd, std::span<std::byte> bytes, uint64_t offset, const std::string& name) {
  while (!bytes.empty()) {
    const ssize_t n = ::pread(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw_errno(kPageImagesStep, name);
    if (n == 0)
      throw Error(ErrorCode::corrupt_image, kPageImagesStep, fmt::format("it ends at offset {}", offset))
          .with_image(name);
    bytes = bytes.subspan(static_cast<std::size_t>(n));
    offset += static_cast<uint64_t>(n);
  }
}

// Extents that were given up count as zeros, whether or not they have been freed yet.
void mask_punched(const img::crx_digest_entry& entry, uint64_t start, std::span<std::byte> chunk) {
  for (const img::crx_extent& extent : entry.punched()) {
    const uint64_t from = std::max(start, extent.offset());
    const uint64_t to = std::min(start + chunk.size(), extent.offset() + extent.bytes());
    if (from < to) std::fill_n(chunk.begin() + static_cast<std::ptrdiff_t>(from - start), to - from, std::byte{});
  }
}

}  // namespace

// One directory of the chain. Page files are opened on first use.
struct ImageSet::Level {
  explicit Level(std::string path) : source(std::move(path)) {}

  struct Pages {
    Fd file;
    uint64_t size = 0;
    const img::crx_digest_entry* digests = nullptr;
  };

  std::string shown(const std::string& name) const { return source.path() + "/" + name; }

  Pages& pages(uint32_t id) {
    const auto [slot, is_new] = files.try_emplace(id);
    Pages& pages = slot->second;
    if (!is_new) return pages;
    const std::string name = image_file::pages(id);
    pages.file = source.open_file(name);
    struct stat st {};
    if (::fstat(pages.file.get(), &st) != 0) throw_errno(kPageImagesStep, shown(name));
    pages.size = static_cast<uint64_t>(st.st_size);
    if (manifest) pages.digests = manifest->find(name);
    return pages;
  }

  const PageTable& table(const std::string& name) {
    const auto found = tables.find(name);
    if (found != tables.end()) return found->second;
    return tables.emplace(name, read_table(source.reader(name))).first->second;
  }

  // Throws if the pages were given up after a later set had replaced them.
  void refuse_punched(const Pages& pages, uint64_t offset, uint64_t bytes, uint32_t id) const {
    if (pages.digests == nullptr) return;
    for (const img::crx_extent& extent : pages.digests->punched()) {
      if (offset + bytes <= extent.offset() || extent.offset() + extent.bytes() <= offset) continue;
      throw Error(
          ErrorCode::corrupt_image, kPageImagesStep,
          fmt::format("it has given up its pages at offset {} to a later set", std::max(offset, extent.offset())))
          .with_image(shown(image_file::pages(id)))
          .with_hint("only the newest set of a deduplicated chain can be restored");
    }
  }

  // Makes sure that `buffer` has the chunk and that it is as written. Nothing is used but what was compared: a file may
  // change between two reads.
  void check_chunk(Pages& file, std::size_t index, uint32_t id) {
    const uint64_t start = index * kChunkBytes;
    if (file.digests == nullptr || (buffered.id == id && buffered.start == start && buffered.end > start)) return;
    buffered = {0, 0, 0};
    buffer.resize(std::min(kChunkBytes, file.size - start));
    const std::string name = shown(image_file::pages(id));
    read_exactly(file.file.get(), buffer, start, name);
    mask_punched(*file.digests, start, buffer);
    if (!chunk_matches(*file.digests, index, buffer)) {
      throw Error(ErrorCode::corrupt_image, kPageImagesStep,
                  fmt::format("it was altered: the MiB at offset {} is not as written", start))
          .with_image(name)
          .with_hint(kUseAnotherCopy);
    }
    buffered = {id, start, start + buffer.size()};
  }

  DirectorySource source;
  std::optional<Manifest> manifest;
  std::string signer;
  std::map<uint32_t, Pages> files;
  std::map<std::string, PageTable> tables;
  struct Buffered {
    uint32_t id = 0;
    uint64_t start = 0, end = 0;
  };
  std::vector<std::byte> buffer;
  Buffered buffered;
};

ImageSet::ImageSet() = default;
ImageSet::ImageSet(ImageSet&&) noexcept = default;
ImageSet& ImageSet::operator=(ImageSet&&) noexcept = default;
ImageSet::~ImageSet() = default;

const DirectorySource& ImageSet::images() const {
  return levels_.front()->source;
}
std::size_t ImageSet::levels() const noexcept {
  return levels_.size();
}
const DirectorySource& ImageSet::level(std::size_t index) const {
  return levels_.at(index)->source;
}
const Manifest* ImageSet::manifest(std::size_t level) const {
  const auto& found = levels_.at(level)->manifest;
  return found ? &*found : nullptr;
}

ImageSet ImageSet::open(const std::string& path, const SignatureCheck* signature) {
  ImageSet set;
  std::vector<std::pair<dev_t, ino_t>> seen;
  std::string at = path;
  for (;;) {
    auto level = std::make_unique<Level>(at);
    struct stat st {};
    if (::fstat(level->source.directory(), &st) != 0) throw_errno("checking the image set", at);
    const std::pair id(st.st_dev, st.st_ino);
    if (std::find(seen.begin(), seen.end(), id) != seen.end()) throw_damaged(at + " is its own parent");
    if (seen.size() == kMaxLevels) throw_damaged(fmt::format("{} has more than {} parents", path, kMaxLevels));
    seen.push_back(id);
    if (!level->source.contains(image_file::kInventory))
      throw_damaged_image(at + "/" + std::string(image_file::kInventory),
                          "it is missing: the set is incomplete, or none was written there",
                          "use a directory that holds a whole set");
    if (signature != nullptr) level->signer = check_signature(level->source, *signature);
    level->manifest = check_set(level->source);
    if (signature != nullptr) require_signed_files(level->source, *level->manifest, *signature);
    if (!set.levels_.empty() && set.levels_.back()->manifest && set.levels_.back()->manifest->head().has_parent_id()) {
      const std::string& wanted = set.levels_.back()->manifest->head().parent_id();
      if (!level->manifest || level->manifest->head().set_id() != wanted) {
        throw_damaged(at + " is not the set that " + set.levels_.back()->source.path() + " was made against",
                      kPutParentBack);
      }
    }
    const bool more = ::fstatat(level->source.directory(), "parent", &st, 0) == 0;
    const bool dangling = !more && ::fstatat(level->source.directory(), "parent", &st, AT_SYMLINK_NOFOLLOW) == 0;
    if (dangling || (!more && level->manifest && level->manifest->head().has_parent_id())) {
      throw_damaged(at + "/parent does not lead to the set that this one was made against", kPutParentBack);
    }
    set.levels_.push_back(std::move(level));
    if (!more) return set;
    at += "/parent";
  }
}

const std::string& ImageSet::signer(std::size_t level) const {
  return levels_.at(level)->signer;
}

std::vector<PageSpace> ImageSet::spaces() const {
  std::vector<PageSpace> all;
  for (const std::string& name : images().names()) {
    if (const auto space = space_of_pagemap(name)) all.push_back(*space);
  }
  return all;
}

std::vector<PagePiece> ImageSet::pages(PageSpace space) const {
  const std::string name = pagemap_name(space);
  std::vector<PagePiece> pieces;
  // Depth first: a part that is in the parent is looked up there at once, so that the pieces come in order.
  const auto collect = [&](const auto& self, std::size_t index, PageRange wanted) -> void {
    const PageTable& table = levels_.at(index)->table(name);
    uint64_t at = wanted.start;
    auto entry = table.first_after(wanted.start);
    for (; entry != table.entries.end() && entry->range.start < wanted.end; ++entry) {
      const PageRange part{std::max(entry->range.start, wanted.start), std::min(entry->range.end, wanted.end)};
      if (index > 0 && part.start > at) break;
      at = part.end;
      if (entry->present) {
        pieces.push_back({part, index, table.pages_id, entry->offset + (part.start - entry->range.start)});
      } else if (index + 1 == levels_.size()) {
        throw_damaged_image(levels_[index]->shown(name),
                            fmt::format("the pages at {:#x} are in a parent set, and there is none", part.start));
      } else {
        self(self, index + 1, part);
      }
    }
    if (index > 0 && at < wanted.end) {
      throw_damaged_image(levels_[index]->shown(name),
                          fmt::format("it lacks the page at {:#x}, which a later set expects there", at));
    }
  };
  collect(collect, 0, {0, kEndOfUserSpace5});
  // The page files have not been read yet, but they must be as long as the tables require.
  for (const PagePiece& piece : pieces) {
    Level& level = *levels_[piece.level];
    const Level::Pages& file = level.pages(piece.pages_id);
    if (piece.offset > file.size || piece.range.bytes() > file.size - piece.offset) {
      throw_damaged_image(level.shown(image_file::pages(piece.pages_id)),
                          fmt::format("it ends at offset {}, and {} needs {} bytes of it", file.size, name,
                                      piece.offset + piece.range.bytes()));
    }
    level.refuse_punched(file, piece.offset, piece.range.bytes(), piece.pages_id);
  }
  return pieces;
}

void ImageSet::add_replaced(std::size_t index, const std::string& name, PageRange wanted,
                            std::vector<ReplacedPages>& all) const {
  if (index == levels_.size() || !levels_[index]->source.contains(name)) return;
  const PageTable& table = levels_[index]->table(name);
  for (auto entry = table.first_after(wanted.start); entry != table.entries.end() && entry->range.start < wanted.end;
       ++entry) {
    const PageRange part{std::max(entry->range.start, wanted.start), std::min(entry->range.end, wanted.end)};
    if (entry->present) {
      all.push_back({index, table.pages_id, entry->offset + (part.start - entry->range.start), part.bytes()});
    } else {
      add_replaced(index + 1, name, part, all);
    }
  }
}

std::vector<ReplacedPages> ImageSet::replaced() const {
  std::vector<ReplacedPages> all;
  for (const std::string& name : images().names()) {
    if (!name.starts_with("pagemap-")) continue;
    for (const PageTableEntry& entry : levels_.front()->table(name).entries) {
      if (entry.present) add_replaced(1, name, entry.range, all);
    }
  }
  return all;
}

void ImageSet::read(const PagePiece& piece, PageRange part, std::span<std::byte> bytes) const {
  Level& level = *levels_.at(piece.level);
  Level::Pages& file = level.pages(piece.pages_id);
  uint64_t offset = piece.offset + (part.start - piece.range.start);
  const uint64_t end = offset + part.bytes();
  while (offset < end) {
    const uint64_t index = offset / kChunkBytes;
    level.check_chunk(file, index, piece.pages_id);
    const std::size_t size = std::min(end, (index + 1) * kChunkBytes) - offset;
    const Level::Buffered& have = level.buffered;
    if (file.digests != nullptr) {
      if (offset + size > have.end)
        throw_damaged_image(level.shown(image_file::pages(piece.pages_id)),
                            fmt::format("it ends at offset {}", have.end));
      std::copy_n(level.buffer.begin() + static_cast<std::ptrdiff_t>(offset - have.start), size, bytes.begin());
    } else {
      read_exactly(file.file.get(), bytes.first(size), offset, level.shown(image_file::pages(piece.pages_id)));
    }
    bytes = bytes.subspan(size);
    offset += size;
  }
}

void ImageSet::verify_pages() const {
  Level& level = *levels_.front();
  if (!level.manifest) return;
  for (const auto& [name, entry] : level.manifest->files()) {
    if (!name.starts_with("pages-")) continue;
    const auto id = static_cast<uint32_t>(std::strtoul(name.c_str() + 6, nullptr, 10));
    Level::Pages& file = level.pages(id);
    for (std::size_t index = 0; index * kChunkBytes < file.size; ++index) level.check_chunk(file, index, id);
  }
}

}  // namespace crx
