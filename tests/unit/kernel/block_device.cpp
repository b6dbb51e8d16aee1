#include <doctest/doctest.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "common/kernel/files/block_device.hpp"
#include "common/kernel/files/file_identity.hpp"

namespace crx {

TEST_CASE("kernel.block_device: a disk without a world-wide id is only the same on one kernel") {
  char folder[] = "/tmp/crx-disk-XXXXXX";
  REQUIRE(::mkdtemp(folder) != nullptr);
  const std::string path = fmt::format("{}/disk", folder);
  // Loop devices have no such id, if they exist at all.
  const bool made = ::mknod(path.c_str(), S_IFBLK | 0600, ::makedev(7, 0)) == 0;
  if (made) {
    FileIdentity disk = identify_file(path, path, ContentCheck::small);
    CHECK(disk.storage.empty());
    CHECK_FALSE(file_difference(disk, true));
    CHECK(file_difference(disk, false) == "is a block device of this host's own, as far as can be told");
    disk.storage = "block naa.5000 partition  sectors 8";
    CHECK(file_difference(disk, false).has_value());
    disk.rdev = ::makedev(7, 1);
    CHECK(file_difference(disk, true) == "is another device");
  }
  ::unlink(path.c_str());
  ::rmdir(folder);
}

}  // namespace crx
