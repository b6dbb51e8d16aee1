#include <doctest/doctest.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "common/base/error.hpp"
#include "common/image/dedup/dedup.hpp"
#include "common/image/magic.hpp"
#include "common/image/page_images.hpp"
#include "common/image/schema/inventory.pb.h"
#include "common/image/schema/memory.pb.h"

namespace crx {
namespace {

constexpr PageSpace kSpace{PageSpace::Kind::mm, 77};

class Folder {
 public:
  Folder() {
    char name[] = "/tmp/crx-pages-XXXXXX";
    REQUIRE(::mkdtemp(name) != nullptr);
    path_ = name;
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() { std::filesystem::remove_all(path_); }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

PageRange pages(uint64_t first, uint64_t count) {
  return {first * kPageSize, (first + count) * kPageSize};
}

std::vector<std::byte> content(const std::vector<PageRange>& ranges, char seed) {
  std::vector<std::byte> bytes;
  for (const PageRange& range : ranges) {
    for (uint64_t at = range.start; at < range.end; at += kPageSize) {
      const auto value = static_cast<std::byte>(static_cast<unsigned>(seed) + at / kPageSize);
      bytes.insert(bytes.end(), kPageSize, value);
    }
  }
  return bytes;
}

// Writes a set with these pages; returns its id.
std::string write_set(const std::string& path, const std::vector<PageRange>& here, char seed,
                      const std::vector<PageRange>& in_parent = {}, const std::string& parent_id = {}) {
  DirectorySink sink(path);
  Manifest manifest = Manifest::begin(img::crx_manifest_entry::DUMP);
  const std::string id = manifest.head().set_id();
  if (!parent_id.empty()) {
    manifest.head().set_parent_id(parent_id);
    sink.set_parent("../parent-of-" + std::filesystem::path(path).filename().string());
  }
  img::inventory_entry inventory;
  inventory.set_img_version(kImageVersion);
  sink.append(image_file::kInventory, inventory);
  PageWriter writer(sink, kSpace, 1);
  writer.add(here, content(here, seed));
  writer.finish(sink, in_parent);
  sink.set_manifest(std::move(manifest));
  sink.commit();
  return id;
}

void link_parent(const Folder& folder, const std::string& child, const std::string& parent) {
  std::filesystem::create_symlink(parent, folder / ("parent-of-" + child));
}

// Returns the value that the set has for page `number`; 0 if it has none.
int value_at(const ImageSet& set, uint64_t number) {
  for (const PagePiece& piece : set.pages(kSpace)) {
    const PageRange page = pages(number, 1);
    if (page.start < piece.range.start || page.end > piece.range.end) continue;
    std::vector<std::byte> bytes(kPageSize);
    set.read(piece, page, bytes);
    CHECK(std::all_of(bytes.begin(), bytes.end(), [&](std::byte b) { return b == bytes[0]; }));
    return std::to_integer<int>(bytes[0]);
  }
  return 0;
}

void overwrite(const std::string& path, uint64_t offset, const std::string& bytes) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(static_cast<std::streamoff>(offset));
  file << bytes;
}

void write_tables(const std::string& path, const std::vector<img::pagemap_entry>& entries) {
  DirectorySink sink(path);
  img::inventory_entry inventory;
  inventory.set_img_version(kImageVersion);
  sink.append(image_file::kInventory, inventory);
  img::pagemap_head head;
  head.set_pages_id(1);
  sink.append("pagemap-77.img", head);
  for (const auto& entry : entries) sink.append("pagemap-77.img", entry);
  sink.raw("pages-1.img").append(content({pages(0, 2)}, 1));
  sink.commit();
}

img::pagemap_entry entry_of(uint64_t vaddr, uint64_t count, uint32_t flags) {
  img::pagemap_entry entry;
  entry.set_vaddr(vaddr);
  entry.set_compat_nr_pages(static_cast<uint32_t>(count));
  entry.set_nr_pages(count);
  entry.set_flags(flags);
  return entry;
}

}  // namespace

TEST_CASE("pages written to a set are found again, by address") {
  const Folder folder;
  write_set(folder / "a", {pages(1, 3), pages(10, 700)}, 1);
  const ImageSet set = ImageSet::open(folder / "a");
  CHECK(set.levels() == 1);
  CHECK(set.pages(kSpace).size() == 2);
  CHECK(value_at(set, 2) == 3);
  CHECK(value_at(set, 4) == 0);
  CHECK(value_at(set, 600) == (601 & 255));
  set.verify_pages();
}

TEST_CASE("pages come from the newest set of a chain that has them") {
  const Folder folder;
  const std::string a = write_set(folder / "a", {pages(0, 10)}, 1);
  const std::string b = write_set(folder / "b", {pages(2, 2)}, 50, {pages(0, 2), pages(4, 4)}, a);
  write_set(folder / "c", {pages(5, 1)}, 90, {pages(0, 5), pages(6, 1)}, b);
  link_parent(folder, "b", "a");
  link_parent(folder, "c", "b");
  const ImageSet set = ImageSet::open(folder / "c");
  CHECK(set.levels() == 3);
  const std::vector<int> expected{1, 2, 52, 53, 5, 95, 7, 0};
  for (std::size_t i = 0; i < expected.size(); ++i) CHECK(value_at(set, i) == expected[i]);
}

TEST_CASE("a parent that is another set, lacks a page, or is cyclic is refused") {
  const Folder folder;
  const std::string a = write_set(folder / "a", {pages(0, 4)}, 1);
  write_set(folder / "other", {pages(0, 4)}, 1);
  write_set(folder / "b", {pages(1, 1)}, 2, {pages(0, 1)}, a);
  link_parent(folder, "b", "other");
  CHECK_THROWS_WITH_AS(ImageSet::open(folder / "b"), doctest::Contains("is not the set that"), Error);

  std::filesystem::remove(folder / "parent-of-b");
  CHECK_THROWS_WITH_AS(ImageSet::open(folder / "b"), doctest::Contains("does not lead to"), Error);

  write_set(folder / "c", {pages(1, 1)}, 2, {pages(8, 1)}, a);
  link_parent(folder, "c", "a");
  const ImageSet set = ImageSet::open(folder / "c");
  CHECK_THROWS_WITH_AS(set.pages(kSpace), doctest::Contains("lacks the page at 0x8000"), Error);

  write_tables(folder / "d", {});
  std::filesystem::create_symlink(".", folder / "d/parent");
  CHECK_THROWS_WITH_AS(ImageSet::open(folder / "d"), doctest::Contains("its own parent"), Error);
}

TEST_CASE("altered, cut, missing and foreign files are named") {
  const Folder folder;
  const auto fresh = [&] {
    std::filesystem::remove_all(folder / "a");
    write_set(folder / "a", {pages(0, 600)}, 1);
  };
  fresh();
  overwrite(folder / "a/pages-1.img", (1 << 20) + 5000, "x");
  {
    const ImageSet set = ImageSet::open(folder / "a");
    CHECK(value_at(set, 1) == 2);
    CHECK_THROWS_WITH_AS(value_at(set, 300),
                         doctest::Contains("pages-1.img: it was altered: the MiB at offset 1048576"), Error);
    CHECK_THROWS_AS(set.verify_pages(), Error);
  }
  fresh();
  std::filesystem::resize_file(folder / "a/pages-1.img", 4096 * 599);
  CHECK_THROWS_WITH_AS(ImageSet::open(folder / "a"), doctest::Contains("pages-1.img: it ends at offset 2453504"),
                       Error);
  fresh();
  overwrite(folder / "a/pagemap-77.img", 12, "y");
  CHECK_THROWS_WITH_AS(ImageSet::open(folder / "a"), doctest::Contains("pagemap-77.img: it was altered"), Error);
  fresh();
  std::filesystem::remove(folder / "a/pagemap-77.img");
  CHECK_THROWS_WITH_AS(ImageSet::open(folder / "a"), doctest::Contains("pagemap-77.img: it is missing"), Error);
  fresh();
  std::filesystem::copy_file(folder / "a/pagemap-77.img", folder / "a/pagemap-78.img");
  CHECK_THROWS_WITH_AS(ImageSet::open(folder / "a"), doctest::Contains("does not belong"), Error);
  fresh();
  std::filesystem::remove(folder / "a/inventory.img");
  CHECK_THROWS_WITH_AS(ImageSet::open(folder / "a"), doctest::Contains("incomplete"), Error);
}

TEST_CASE("a set that is cut short at any byte of any file is refused, or reads as it was") {
  const Folder folder;
  write_set(folder / "a", {pages(0, 3)}, 1);
  for (const auto& item : std::filesystem::directory_iterator(folder / "a")) {
    const auto size = std::filesystem::file_size(item.path());
    for (uint64_t keep = 0; keep<size; keep += size> 4096 ? 997 : 1) {
      std::filesystem::remove_all(folder / "b");
      std::filesystem::copy(folder / "a", folder / "b", std::filesystem::copy_options::recursive);
      std::filesystem::resize_file(folder / ("b/" + item.path().filename().string()), keep);
      CHECK_THROWS_AS(ImageSet::open(folder / "b"), Error);
    }
  }
}

TEST_CASE("hostile page tables are refused") {
  const Folder folder;
  const auto refuses = [&](const std::vector<img::pagemap_entry>& entries, const char* why) {
    std::filesystem::remove_all(folder / "a");
    write_tables(folder / "a", entries);
    const ImageSet set = ImageSet::open(folder / "a");
    CHECK_THROWS_WITH_AS(set.pages(kSpace), doctest::Contains(why), Error);
  };
  refuses({entry_of(0x1000, 3, 4)}, "ends at offset");
  refuses({entry_of(0x1000, uint64_t{1} << 40, 4)}, "ends at offset");
  refuses({entry_of(0x1000, ~uint64_t{0}, 4)}, "outside user space");
  refuses({entry_of(~uint64_t{0xfff}, 2, 4)}, "outside user space");
  refuses({entry_of(0x1001, 1, 4)}, "out of order");
  refuses({entry_of(0x2000, 1, 4), entry_of(0x1000, 1, 4)}, "out of order");
  refuses({entry_of(0x1000, 1, 1)}, "there is none");
  refuses({entry_of(0x1000, 1, 2)}, "lazy");
}

TEST_CASE("deduplication frees what was replaced, keeps the chain whole, and the parent is refused by itself") {
  const Folder folder;
  const std::string a = write_set(folder / "a", {pages(0, 1024)}, 1);
  write_set(folder / "b", {pages(0, 512)}, 50, {pages(512, 512)}, a);
  link_parent(folder, "b", "a");
  struct stat before {};
  struct stat after {};
  REQUIRE(::stat((folder / "a/pages-1.img").c_str(), &before) == 0);
  CHECK(deduplicate(folder / "b") == 512 * kPageSize);
  REQUIRE(::stat((folder / "a/pages-1.img").c_str(), &after) == 0);
  CHECK(after.st_blocks * 2 == before.st_blocks);
  CHECK(after.st_size == before.st_size);

  const ImageSet chain = ImageSet::open(folder / "b");
  CHECK(value_at(chain, 3) == 53);
  CHECK(value_at(chain, 700) == (701 & 255));
  const ImageSet parent = ImageSet::open(folder / "a");
  parent.verify_pages();
  CHECK_THROWS_WITH_AS(parent.pages(kSpace), doctest::Contains("has given up its pages"), Error);
  CHECK(deduplicate(folder / "b") == 0);
}

TEST_CASE("a second set in the same directory takes the first one's place") {
  const Folder folder;
  write_set(folder / "a", {pages(0, 2)}, 1);
  std::ofstream(folder / "a/core-1.img") << "left behind";
  write_set(folder / "a", {pages(0, 3)}, 9);
  const ImageSet set = ImageSet::open(folder / "a");
  CHECK(value_at(set, 2) == 11);
  CHECK_FALSE(set.images().contains("core-1.img"));
}

}  // namespace crx
