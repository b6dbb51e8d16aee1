#include "common/systemd/journal_log.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include <cstdlib>

namespace crx {

TEST_CASE("a line names its session at its beginning, or none") {
  CHECK(log::session_of("session 0123abcd-ef: the tree runs here") == "0123abcd-ef");
  CHECK(log::session_of("session 0123abcd") == "");
  CHECK(log::session_of("session EVIL=1: text") == "");
  CHECK(log::session_of("the session 0123: text") == "");
  CHECK(log::session_of("") == "");
}

TEST_CASE("an entry of the journal has a field for each thing that is searched for") {
  CHECK(log::journal_entry(LOG_WARNING, "agent", "0123", "session 0123: late") ==
        "PRIORITY=4\nSYSLOG_IDENTIFIER=crx-agent\nCRX_SESSION=0123\nMESSAGE=session 0123: late\n");
  CHECK(log::journal_entry(LOG_INFO, "crx-engine", "", "text") ==
        "PRIORITY=6\nSYSLOG_IDENTIFIER=crx-engine\nMESSAGE=text\n");
}

TEST_CASE("stderr is the journal only if the environment names its very file") {
  struct stat file {};
  REQUIRE(::fstat(STDERR_FILENO, &file) == 0);
  ::unsetenv("JOURNAL_STREAM");
  CHECK_FALSE(log::stderr_is_journal());
  for (const char* const text : {"", ":", "1", "1:2", "1:2x"}) {
    ::setenv("JOURNAL_STREAM", text, 1);
    CAPTURE(text);
    CHECK_FALSE(log::stderr_is_journal());
  }
  ::setenv("JOURNAL_STREAM", fmt::format("{}:{}", file.st_dev, file.st_ino).c_str(), 1);
  CHECK(log::stderr_is_journal());
  ::unsetenv("JOURNAL_STREAM");
}

}  // namespace crx
