#include "common/session/decided_tree.hpp"

#include <doctest/doctest.h>

namespace crx {
namespace {

TEST_CASE("decided tree: its text is read as it was written") {
  const DecidedTree frozen{4711, 3, "/sys/fs/cgroup/a group/crx-0123", false, false};
  CHECK(parse_decided_tree(to_detail(frozen)) == frozen);
  const DecidedTree stays{4711, 3, "/sys/fs/cgroup/crx-0123", false, true};
  CHECK(parse_decided_tree(to_detail(stays)) == stays);
  const DecidedTree runs{4711, 0, "", true, false};
  CHECK(parse_decided_tree(to_detail(runs)) == runs);
}

TEST_CASE("decided tree: other texts are none") {
  for (const char* text : {"", "pid", "pid x runs", "pid 1", "pid 1 processes 2", "pid 1 processes group /a", "from h1",
                           "pid 99999999999999999999 runs"}) {
    CHECK_FALSE(parse_decided_tree(text));
  }
}

}  // namespace
}  // namespace crx
