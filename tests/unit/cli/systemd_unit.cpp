#include <doctest/doctest.h>

#include "agent-src/tool/systemd_unit.hpp"

namespace {

TEST_CASE("systemd unit: the innermost service of a cgroup path") {
  using crx::unit_of_path;
  CHECK_FALSE(unit_of_path("/"));
  CHECK_FALSE(unit_of_path("/user.slice/user-0.slice/session-1.scope"));
  CHECK(unit_of_path("/system.slice/redis.service")->name == "redis.service");
  CHECK_FALSE(unit_of_path("/system.slice/redis.service")->user);
  CHECK(unit_of_path("/system.slice/a.service/worker")->name == "a.service");
  const auto user = unit_of_path("/user.slice/user-1000.slice/user@1000.service/app.slice/b.service");
  REQUIRE(user);
  CHECK(user->name == "b.service");
  CHECK(user->user);
  CHECK_FALSE(unit_of_path("/user.slice/user-1000.slice/user@1000.service/init.scope")->user);
}

TEST_CASE("systemd unit: what systemctl show prints") {
  crx::SystemdUnit unit;
  crx::read_properties("Restart=on-failure\nMainPID=4711\nOther=x\n", unit);
  CHECK(unit.main_pid == 4711);
  CHECK(unit.restart == "on-failure");
  crx::read_properties("MainPID=nonsense\nRestart=", unit);
  CHECK(unit.restart.empty());
}

}  // namespace
