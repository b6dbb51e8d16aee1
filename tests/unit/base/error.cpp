#include "common/base/error.hpp"

#include <doctest/doctest.h>

#include <cerrno>
#include <string_view>

namespace crx {

TEST_CASE("an error reads as one sentence: step, pid, reason, errno, hint") {
  const Error error =
      Error(ErrorCode::kernel, "restoring timers", "timer 3", EAGAIN).with_pid(7).with_hint("try again");
  CHECK(std::string_view(error.what()) ==
        "restoring timers (pid 7): timer 3: Resource temporarily unavailable; try again");
  CHECK(error.code() == ErrorCode::kernel);
  CHECK(error.hint() == "try again");
}

TEST_CASE("an error names its image once, as set by the first caller that knows it") {
  Error error = Error(ErrorCode::corrupt_image, "reading an image", "entry 3: too long").with_image("core-7.img");
  CHECK(std::string_view(error.what()) == "reading an image: core-7.img: entry 3: too long");
  error.add_image("files.img");
  CHECK(error.image() == "core-7.img");
  Error other(ErrorCode::kernel, "restoring pipes", "pipe 5", EINVAL);
  other.add_image("files.img");
  CHECK(std::string_view(other.what()) == "restoring pipes: files.img: pipe 5: Invalid argument");
}

TEST_CASE("an error shows names completely and without control characters") {
  const Error error(ErrorCode::refused, "opening", std::string("/a\0b\x1b[2J\x7f/\xc3\xa9 \n", 14));
  CHECK(std::string_view(error.what()) == "opening: /a?b?[2J?/\xc3\xa9 ?");
}

TEST_CASE("ESRCH means that the victim has ended") {
  try {
    throw_errno("reading registers", "thread 4", ESRCH);
    FAIL("nothing thrown");
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::victim_gone);
    CHECK(to_string(error.code()) == "victim_gone");
  }
}

}  // namespace crx
