#include "common/image/image_store.hpp"

#include <doctest/doctest.h>

#include <cstring>
#include <functional>
#include <span>
#include <string>

#include "common/base/error.hpp"
#include "common/image/magic.hpp"
#include "common/image/schema/core.pb.h"
#include "common/image/schema/inventory.pb.h"
#include "common/image/schema/pipes.pb.h"

namespace crx {
namespace {

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text));
}

img::pstree_entry task(uint32_t pid) {
  img::pstree_entry entry;
  entry.set_pid(pid);
  entry.set_ppid(0);
  entry.set_pgid(pid);
  entry.set_sid(pid);
  entry.add_threads(pid);
  return entry;
}

std::string failure(const std::function<void()>& call, ErrorCode code) {
  try {
    call();
  } catch (const Error& error) {
    CHECK(error.code() == code);
    return error.what();
  }
  return "nothing thrown";
}

}  // namespace

TEST_CASE("an image is two magics, then length and message") {
  ImageStore store;
  store.append(image_file::kPstree, task(5));
  const std::string_view image = store.load("pstree.img");
  const std::string_view expected(
      "\x19\x43\x56\x54\x30\x30\x27\x50"
      "\x0a\0\0\0"
      "\x08\x05\x10\0\x18\x05\x20\x05\x28\x05",
      22);
  CHECK(image == expected);
}

TEST_CASE("the inventory has its own magic only, statistics the service magic") {
  ImageStore store;
  img::inventory_entry inventory;
  inventory.set_img_version(kImageVersion);
  store.append(image_file::kInventory, inventory);
  CHECK(store.load("inventory.img") == std::string_view("\x16\x31\x31\x58\x02\0\0\0\x08\x02", 10));
  store.append(image_file::kStatsDump, img::stats_entry());
  CHECK(store.load("stats-dump.img").substr(0, 4) == "\x40\x59\x10\x55");
  CHECK(store.read_one<img::inventory_entry>(image_file::kInventory).img_version() == 2);
}

TEST_CASE("raw data follows its entry and is read through the cursor") {
  ImageStore store;
  img::pipe_data_entry entry;
  entry.set_pipe_id(3);
  entry.set_bytes(5);
  store.append(image_file::kPipesData, entry);
  store.append_raw(image_file::kPipesData, bytes_of("hello"));
  entry.set_pipe_id(4);
  entry.set_bytes(2);
  store.append(image_file::kPipesData, entry);
  store.append_padded(image_file::kPipesData, bytes_of("ab"), 8);

  ImageReader reader = store.reader(image_file::kPipesData);
  CHECK(reader.next(entry));
  const auto first = reader.raw(entry.bytes());
  CHECK(std::memcmp(first.data(), "hello", 5) == 0);
  CHECK(reader.next(entry));
  CHECK(entry.pipe_id() == 4);
  CHECK(reader.raw_padded(entry.bytes(), 8).size() == 2);
  CHECK_FALSE(reader.next(entry));
  reader.expect_end();
}

TEST_CASE("damage is named by image and entry") {
  ImageStore good;
  good.append(image_file::kPstree, task(5));
  good.append(image_file::kPstree, task(6));
  const std::string image(good.load("pstree.img"));
  const auto read = [&](const std::string& bytes) {
    return failure(
        [&] {
          ImageStore store;
          store.insert("pstree.img", bytes);
          store.read_all<img::pstree_entry>("pstree.img");
        },
        ErrorCode::corrupt_image);
  };
  for (std::size_t size = 0; size < image.size(); ++size) {
    CAPTURE(size);
    // A cut between entries gives a whole image; any other cut gives a truncated one.
    if (size == 8 || size == 22) continue;
    CHECK(read(image.substr(0, size)).find("pstree.img") != std::string::npos);
  }
  CHECK(read(image.substr(0, 30)).find("entry 2") != std::string::npos);
  std::string wrong_magic = image;
  wrong_magic[4] ^= 1;
  CHECK(read(wrong_magic).find("type magic") != std::string::npos);
  std::string huge = image;
  huge[11] = 0x7f;
  CHECK(read(huge).find("more than the limit") != std::string::npos);
  CHECK(read(image + std::string("\x02\0\0\0\x08\x01", 6)).find("lacks") != std::string::npos);
}

TEST_CASE("one entry means exactly one") {
  ImageStore store;
  store.append(image_file::kPstree, task(5));
  CHECK(store.read_one<img::pstree_entry>("pstree.img").pid() == 5);
  store.append(image_file::kPstree, task(6));
  CHECK(store.read_all<img::pstree_entry>("pstree.img").size() == 2);
  failure([&] { store.read_one<img::pstree_entry>("pstree.img"); }, ErrorCode::corrupt_image);
  CHECK(failure([&] { store.load("files.img"); }, ErrorCode::corrupt_image).find("files.img: it is missing") !=
        std::string::npos);
  CHECK_FALSE(store.try_read_one<img::pstree_entry>("files.img"));
  CHECK(store.read_all<img::pstree_entry>("files.img").empty());
}

TEST_CASE("unset required fields and unknown names are our own bugs") {
  ImageStore store;
  CHECK(failure([&] { store.append(image_file::kPstree, img::pstree_entry()); }, ErrorCode::bug).find("pid") !=
        std::string::npos);
  failure([&] { store.append("nonsense.img", task(1)); }, ErrorCode::bug);
}

TEST_CASE("names sent by a peer are checked") {
  ImageStore store(100);
  for (const char* name : {"", ".img", "../x.img", "a/b.img", ".hidden.img", "x.txt", "a b.img"}) {
    CAPTURE(name);
    failure([&] { store.insert(name, "x"); }, ErrorCode::corrupt_image);
  }
  store.insert("mm-1.img", "x");
  failure([&] { store.insert("mm-1.img", "x"); }, ErrorCode::corrupt_image);
  failure([&] { store.insert("mm-2.img", std::string(100, 'x')); }, ErrorCode::corrupt_image);
  CHECK(store.names() == std::vector<std::string>{"mm-1.img"});
}

TEST_CASE("magics are found by name") {
  CHECK(image_file::magic_of("core-12.img") == magic::kCore);
  CHECK(image_file::magic_of("pagemap-shmem-12.img") == magic::kPagemap);
  CHECK(image_file::magic_of(image_file::ghost_file(0xab)) == magic::kGhostFile);
  CHECK(image_file::magic_of("stats-dump.img") == magic::kStats);
  CHECK(image_file::magic_of(image_file::crx_task(7)) == magic::kCrxTask);
  CHECK_FALSE(image_file::magic_of(image_file::pages(1)));
  CHECK_FALSE(image_file::magic_of("core-.img"));
  CHECK_FALSE(image_file::magic_of("core-12"));
}

}  // namespace crx
