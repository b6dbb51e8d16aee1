#include "common/proc/cgroup.hpp"

#include <doctest/doctest.h>

namespace {

TEST_CASE("proc/cgroup: text to entries and back") {
  const std::string text = "12:cpu,cpuacct:/a/b\n1:name=systemd:/x.service\n4:memory:/gone (deleted)\n0::/c:d\n";
  CHECK(format_cgroup(crx::proc::parse_cgroup(text)) == text);
  const auto entries = crx::proc::parse_cgroup("5:pids:/../other\n0::/..\n1:cpu:/..a\n");
  CHECK(entries[0].is_outside());
  CHECK(entries[1].is_outside());
  CHECK_FALSE(entries[2].is_outside());
}

TEST_CASE("proc/cgroup: paths from elsewhere lead nowhere else") {
  using crx::proc::is_plain_cgroup_path;
  CHECK(is_plain_cgroup_path("/"));
  CHECK(is_plain_cgroup_path("/a/b.service"));
  for (const char* path : {"", "a", "/a/../b", "/..", "/a//b", "/./a", "/a\nb"})
    CHECK_FALSE(is_plain_cgroup_path(path));
  CHECK_FALSE(is_plain_cgroup_path("/" + std::string(256, 'x')));
  std::string deep;
  for (int i = 0; i < 33; ++i) deep += "/d";
  CHECK_FALSE(is_plain_cgroup_path(deep));
}

}  // namespace
