#include "common/kernel/process/freezer_group.hpp"

#include <doctest/doctest.h>
#include <unistd.h>

#include <csignal>

#include "common/base/directory.hpp"
#include "common/base/fd.hpp"
#include "common/kernel/process/child_process.hpp"
#include "common/kernel/process/thawed_groups.hpp"

namespace crx {
namespace {

bool exists(const std::string& path) {
  return ::access(path.c_str(), F_OK) == 0;
}

TEST_CASE("freezer group: an empty group is removed only when nobody owns it any more") {
  FreezerGroup group = FreezerGroup::create_below(::getpid(), "unit-owned");
  const std::string path = group.path();
  remove_empty_groups(::getpid());
  CHECK(exists(path));
  FreezerGroup moved = std::move(group);
  remove_empty_groups(::getpid());
  CHECK(exists(path));
  moved.abandon();
  remove_empty_groups(::getpid());
  CHECK_FALSE(exists(path));
}

TEST_CASE("freezer group: one whose owner was killed is removed") {
  std::string path;
  {
    const FreezerGroup probe = FreezerGroup::create_below(::getpid(), "unit-killed");
    path = probe.path();
  }
  ChildProcess owner = ChildProcess::fork("testing", [] {
    const FreezerGroup group = FreezerGroup::create_below(::getpid(), "unit-killed");
    for (;;) ::pause();
    return 0;
  });
  while (!exists(path)) ::usleep(1'000);
  owner.kill(SIGKILL);
  owner.join();
  remove_empty_groups(::getpid());
  CHECK_FALSE(exists(path));
}

TEST_CASE("freezer group: dissolving one moves processes that are forked meanwhile") {
  FreezerGroup group = FreezerGroup::create_below(::getpid(), "unit-forks");
  const std::string path = group.path();
  ChildProcess storm = ChildProcess::fork("testing", [] {
    ::signal(SIGCHLD, SIG_IGN);  // nobody waits for them
    for (int i = 0; i < 3'000; ++i) {
      if (auto child = ChildProcess::try_fork([] { return ::usleep(20'000); })) child->release();
      ::usleep(100);
    }
    return 0;
  });
  group.add(storm.pid());
  group.dissolve();
  CHECK_FALSE(exists(path));
  storm.kill(SIGKILL);
}

TEST_CASE("freezer group: the group that somebody has frozen is found, also above that of the process") {
  ChildProcess child = *ChildProcess::try_fork_idle();
  CHECK(find_frozen_groups(child.pid()).empty());
  FreezerGroup outer = FreezerGroup::create_below(::getpid(), "unit-frozen");
  outer.add(child.pid());
  FreezerGroup inner = FreezerGroup::create_below(child.pid(), "unit-inner");
  inner.add(child.pid());
  outer.freeze(Deadline::in_ms(5'000));
  CHECK(find_frozen_groups(child.pid()) == std::vector<std::string>{outer.path()});
  set_frozen(inner.path(), true);
  CHECK(find_frozen_groups(child.pid()) == std::vector<std::string>{inner.path(), outer.path()});
  {
    ThawedGroups thawed;
    thawed.thaw_for(child.pid());
    CHECK(find_frozen_groups(child.pid()).empty());
  }
  CHECK(find_frozen_groups(child.pid()) == std::vector<std::string>{inner.path(), outer.path()});
  set_frozen(inner.path(), false);
  outer.thaw();
  CHECK(find_frozen_groups(child.pid()).empty());
  inner.dissolve();
}

}  // namespace
}  // namespace crx
