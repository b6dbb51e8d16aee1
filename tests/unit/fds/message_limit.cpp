// The limit of what is copied from a POSIX message queue. Only a process with CAP_SYS_RESOURCE can make a queue above
// it.
#include "agent-src/collect/ipc/message_limit.hpp"

#include <doctest/doctest.h>

#include <string>

namespace crx::test {

TEST_CASE("a POSIX message queue with more than 256 MiB is refused") {
  OpenFile queue;
  queue.pid = 12;
  queue.numbers = {{12, 3, false}};
  queue.link = "/crx-many";
  CHECK_NOTHROW(require_few_messages(queue, 16, std::size_t{16} << 20));
  CHECK_NOTHROW(require_few_messages(queue, 65536, 4096));
  try {
    require_few_messages(queue, 17, std::size_t{16} << 20);
    FAIL("17 messages of 16 MiB are copied");
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::refused);
    CHECK(std::string(error.what())
              .find("pid 12 fd 3 (/crx-many): 17 messages of up to 16777216 bytes are too many to copy") !=
          std::string::npos);
    CHECK(error.hint() == "let the program receive some");
  }
}

}  // namespace crx::test
