// Findings of one kind become few lines.
#include "common/tool/findings.hpp"

#include <doctest/doctest.h>

namespace crx {
namespace {

std::vector<std::string> texts(const std::vector<Finding>& findings) {
  std::vector<std::string> out;
  for (const FindingLine& line : render_findings(findings)) out.push_back(line.where + "|" + line.text);
  return out;
}

TEST_CASE("findings: the same words are said once, with the first objects and a count") {
  std::vector<Finding> findings;
  for (int fd = 3; fd < 503; ++fd) findings.push_back({true, "a", "fd " + std::to_string(fd), "is odd", "close it"});
  CHECK(texts(findings) == std::vector<std::string>{"a|fd 3, fd 4, fd 5 and 497 more: is odd; close it"});
  findings.resize(3);
  CHECK(texts(findings) == std::vector<std::string>{"a|fd 3, fd 4 and fd 5: is odd; close it"});
  findings.resize(2);
  CHECK(texts(findings) == std::vector<std::string>{"a|fd 3 and fd 4: is odd; close it"});
  findings.resize(1);
  CHECK(texts(findings) == std::vector<std::string>{"a|fd 3: is odd; close it"});
  CHECK(texts({}).empty());
}

TEST_CASE("findings: words that differ in numbers keep a line each, up to three") {
  std::vector<Finding> findings;
  for (int fd = 3; fd < 6; ++fd) {
    findings.push_back({true, "a", "fd " + std::to_string(fd), "is held by pid " + std::to_string(100 * fd), ""});
  }
  CHECK(texts(findings) == std::vector<std::string>{"a|fd 3: is held by pid 300", "a|fd 4: is held by pid 400",
                                                    "a|fd 5: is held by pid 500"});
  for (int fd = 6; fd < 103; ++fd) findings.push_back({true, "a", "fd " + std::to_string(fd), "is held by pid 7", ""});
  const std::vector<std::string> many = texts(findings);
  REQUIRE(many.size() == 4);
  CHECK(many[0] == "a|fd 3: is held by pid 300");
  CHECK(many[3] == "a|97 more of this kind: fd 6, fd 7, fd 8 and 94 more");
}

TEST_CASE("findings: other words, hosts and notes stay apart, in their order") {
  const std::vector<Finding> findings = {{true, "a", "x", "is odd", "r"},
                                         {true, "b", "x", "is odd", "r"},
                                         {false, "a", "x", "is odd", "r"},
                                         {true, "a", "y", "is even", "r"},
                                         {true, "a", "z", "is odd", "r"}};
  CHECK(texts(findings) ==
        std::vector<std::string>{"a|x and z: is odd; r", "b|x: is odd; r", "a|x: is odd; r", "a|y: is even; r"});
  CHECK_FALSE(render_findings(findings)[2].fatal);
}

}  // namespace
}  // namespace crx
