#include "common/image/image_directory.hpp"

#include <doctest/doctest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "common/base/error.hpp"
#include "common/image/magic.hpp"
#include "common/image/schema/inventory.pb.h"

namespace crx {
namespace {

class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    char name[] = "/tmp/crx-image-XXXXXX";
    REQUIRE(::mkdtemp(name) != nullptr);
    path_ = name;
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  ~TemporaryDirectory() { std::filesystem::remove_all(path_); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

img::inventory_entry inventory() {
  img::inventory_entry entry;
  entry.set_img_version(kImageVersion);
  return entry;
}

}  // namespace

TEST_CASE("a set written to a directory is read back, and nothing else is left there") {
  const TemporaryDirectory parent;
  const std::string path = parent.path() + "/set";
  DirectorySink sink(path);
  sink.append(image_file::kInventory, inventory());
  sink.create(image_file::kFiles);
  CHECK(DirectorySource(path).names().empty());
  sink.commit();

  std::ofstream(path + "/notes.txt") << "no image";
  const DirectorySource source(path);
  CHECK(source.names() == std::vector<std::string>{"files.img", "inventory.img"});
  CHECK(source.read_one<img::inventory_entry>(image_file::kInventory).img_version() == kImageVersion);
  CHECK(source.load(image_file::kFiles).size() == 8);
  CHECK(std::distance(std::filesystem::directory_iterator(path), {}) == 3);
}

TEST_CASE("committing again replaces images") {
  const TemporaryDirectory directory;
  for (const uint64_t uptime : {uint64_t{1}, uint64_t{2}}) {
    DirectorySink sink(directory.path());
    img::inventory_entry entry = inventory();
    entry.set_dump_uptime(uptime);
    sink.append(image_file::kInventory, entry);
    sink.commit();
  }
  const DirectorySource source(directory.path());
  CHECK(source.read_one<img::inventory_entry>(image_file::kInventory).dump_uptime() == 2);
}

TEST_CASE("missing, foreign and too large images are named") {
  const TemporaryDirectory directory;
  std::ofstream(directory.path() + "/core-1.img") << std::string(1000, 'x');
  const DirectorySource source(directory.path(), 999);
  CHECK_THROWS_WITH_AS(source.load("mm-1.img"), doctest::Contains("mm-1.img: it is missing"), Error);
  CHECK_THROWS_WITH_AS(source.load("core-1.img"), doctest::Contains("larger"), Error);
  CHECK_FALSE(source.contains("../core-1.img"));
  CHECK_THROWS_AS(source.load("../core-1.img"), Error);
  CHECK_THROWS_AS(DirectorySource("/no/such/directory"), Error);
}

}  // namespace crx
