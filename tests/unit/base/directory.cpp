#include "common/base/directory.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

#include "common/base/fd.hpp"

namespace crx {

TEST_CASE("a directory's names come without itself and its parent, by path and by descriptor") {
  char path[] = "/tmp/crx-directory-XXXXXX";
  REQUIRE(::mkdtemp(path) != nullptr);
  const std::string folder = path;
  for (const char* name : {"12", "7", "a", "7a", "-3"}) open_checked(folder + "/" + name, O_WRONLY | O_CREAT, 0600);
  auto names = list_directory(folder);
  REQUIRE(names);
  std::sort(names->begin(), names->end());
  CHECK(*names == std::vector<std::string>{"-3", "12", "7", "7a", "a"});
  const Fd fd = open_checked(folder, O_PATH | O_DIRECTORY);
  CHECK(list_directory(fd.get())->size() == 5);
  CHECK(list_directory(fd.get())->size() == 5);
  auto numbers = list_numeric(folder);
  REQUIRE(numbers);
  std::sort(numbers->begin(), numbers->end());
  CHECK(*numbers == std::vector<int>{7, 12});
  for (const std::string& name : *names) ::unlinkat(fd.get(), name.c_str(), 0);
  ::rmdir(path);
  CHECK_FALSE(list_directory(folder));
  CHECK(errno == ENOENT);
  CHECK_FALSE(list_directory("/dev/null"));
  CHECK(errno == ENOTDIR);
}

}  // namespace crx
