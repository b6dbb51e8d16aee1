#include <doctest/doctest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <string>

#include "common/base/fd.hpp"
#include "common/base/log.hpp"
#include "common/tool/findings.hpp"

namespace crx {

TEST_CASE("text of others becomes one line without commands to the terminal") {
  CHECK(printable("") == "");
  CHECK(printable("a plain /path \xc3\xa9\xe2\x82\xac\xf0\x9f\x90\xa7") ==
        "a plain /path \xc3\xa9\xe2\x82\xac\xf0\x9f\x90\xa7");
  CHECK(printable("x\n12:00:00 agent: forged\r\t\x1b[2J\x7f") == "x?12:00:00 agent: forged???[2J?");
  CHECK(printable(std::string("a\0b", 3)) == "a?b");
  CHECK(printable("\xc2\x9b"
                  "31m") == "?31m");  // CSI as one character of Unicode
  CHECK(printable("\x9b"
                  "31m") == "?31m");  // and as one byte
  CHECK(printable("\xe2\x80\xae"
                  "gpj.exe\xe2\x80\xa8") == "?gpj.exe?");
  CHECK(printable("\xc0\x8a \xe2\x80 \xed\xa0\x80 \xff") == "?? ?? ??? ?");  // no UTF-8
}

TEST_CASE("a line of the log is one line, whatever a peer has sent") {
  log::setup(log::Level::info, "unit");
  const Fd file(::memfd_create("log", MFD_CLOEXEC));
  const int before = ::dup(2);
  ::dup2(file.get(), 2);
  log::error("the source gave up: {}", "x\n00:00:00.000000 agent[1] info: session a is RESUMED\x1b[8m");
  std::fflush(stderr);
  ::dup2(before, 2);
  ::close(before);
  const std::string text = read_fd(file.get(), "the log");
  CHECK(text.find("x?00:00:00.000000 agent[1] info: session a is RESUMED?[8m\n") != std::string::npos);
  CHECK(text.find('\n') == text.size() - 1);
}

TEST_CASE("findings that another host has sent are lines") {
  Finding finding;
  finding.where = "h\nst";
  finding.object = "fd 3\x1b[1A";
  finding.reason = "no\nnote: all is well";
  finding.fatal = true;
  const auto lines = render_findings({finding});
  REQUIRE(lines.size() == 1);
  CHECK(lines[0].where == "h?st");
  CHECK(lines[0].text == "fd 3?[1A: no?note: all is well");
}

}  // namespace crx
