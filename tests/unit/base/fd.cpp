#include "common/base/fd.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <utility>

#include "common/base/error.hpp"

namespace crx {
namespace {

bool is_open(int fd) {
  return ::fcntl(fd, F_GETFD) >= 0;
}

}  // namespace

TEST_CASE("a missing file is a value, and errno says why") {
  CHECK_FALSE(try_read_file("/proc/self/no such file").has_value());
  CHECK(errno == ENOENT);
  CHECK(try_read_file("/proc/self/comm").value_or("").ends_with("\n"));
  CHECK_FALSE(try_read_file("/proc/self/maps", 10).has_value());
  CHECK(errno == EFBIG);
  const Fd self = open_checked("/proc/self", O_PATH | O_DIRECTORY);
  CHECK(try_open_at(self.get(), "stat", O_RDONLY));
  CHECK_FALSE(try_open_at(self.get(), "no such file", O_RDONLY));
  CHECK(try_read_link(self.get(), "exe") == read_link("/proc/self/exe"));
  CHECK_FALSE(try_read_link(self.get(), "stat").has_value());
  CHECK(errno == EINVAL);
}

TEST_CASE("a descriptor is closed by its last owner, once") {
  int number = -1;
  {
    Fd first = open_checked("/dev/null", O_RDONLY);
    number = first.get();
    CHECK((::fcntl(number, F_GETFD) & FD_CLOEXEC) != 0);
    const Fd second = std::move(first);
    CHECK_FALSE(first);  // NOLINT(bugprone-use-after-move): the test checks that it is empty
    CHECK(is_open(number));
    const Fd copy = duplicate(second.get());
    CHECK(copy.get() != number);
    CHECK((::fcntl(copy.get(), F_GETFD) & FD_CLOEXEC) != 0);
  }
  CHECK_FALSE(is_open(number));
}

TEST_CASE("a file that cannot be opened is named, or expected") {
  CHECK_THROWS_WITH_AS(open_checked("/no/such/file", O_RDONLY), doctest::Contains("/no/such/file"), Error);
  errno = 0;
  CHECK_FALSE(try_open("/no/such/file", O_RDONLY));
  CHECK(errno == ENOENT);
}

TEST_CASE("files are read whole, up to a limit, and again from their start") {
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  const Fd in(ends[0]);
  const Fd out(ends[1]);
  CHECK_THROWS_AS(read_fd(in.get(), "a pipe", 10), Error);  // pread(2) needs a position

  const Fd file = open_checked("/tmp", O_TMPFILE | O_RDWR, 0600);
  const std::string content(20000, 'x');
  REQUIRE(::write(file.get(), content.data(), content.size()) == 20000);
  CHECK(read_fd(file.get(), "a file") == content);
  CHECK(read_fd(file.get(), "a file") == content);
  CHECK(read_fd(file.get(), "a file", 20000) == content);
  CHECK_THROWS_WITH_AS(read_fd(file.get(), "a file", 19999), doctest::Contains("larger"), Error);
  CHECK(read_link("/proc/self/exe").find("crx-unit") != std::string::npos);
}

}  // namespace crx
