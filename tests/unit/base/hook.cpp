#include "common/tool/hook.hpp"

#include <doctest/doctest.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/clock.hpp"
#include "common/base/error.hpp"
#include "common/base/fd.hpp"
#include "common/base/scope_exit.hpp"

namespace crx {
namespace {

const HookContext kContext{"0123456789abcdef0123456789abcdef", 4711, "host-b:7077", "source"};

TEST_CASE("hook: sees its stage and session in the environment") {
  std::string path = "/tmp/crx-hook-XXXXXX";
  const Fd out(::mkstemp(path.data()));
  REQUIRE(out);
  const ScopeExit remove([&] { ::unlink(path.c_str()); });
  const Hook hook("echo $CRX_STAGE $CRX_SESSION $CRX_PID $CRX_PEER $CRX_ROLE >" + path);
  hook.run(HookStage::pre_freeze, kContext);
  CHECK(read_file(path) == "pre-freeze 0123456789abcdef0123456789abcdef 4711 host-b:7077 source\n");
  hook.run(HookStage::aborted, kContext);
  CHECK(read_file(path).starts_with("aborted "));
}

TEST_CASE("hook: a failure names the command, the stage and the status") {
  try {
    Hook("exit 7").run(HookStage::frozen, kContext);
    FAIL("no error");
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::refused);
    const std::string text = error.what();
    CHECK(text.find("'exit 7' exited with status 7") != std::string::npos);
    CHECK(text.find("at frozen") != std::string::npos);
  }
  CHECK_THROWS_WITH_AS(Hook("kill -TERM $$").run(HookStage::frozen, kContext), doctest::Contains("signal 15"), Error);
  CHECK_FALSE(Hook("false").run_noting(HookStage::resumed, kContext));
  CHECK(Hook("true").run_noting(HookStage::resumed, kContext));
}

TEST_CASE("hook: one that hangs is killed with what it started") {
  const int64_t before = monotonic_us();
  CHECK_THROWS_WITH_AS(Hook("sleep 60 & sleep 60", 100).run(HookStage::prepared, kContext),
                       doctest::Contains("did not end within 100 ms"), Error);
  CHECK(monotonic_us() - before < 10'000'000);
}

TEST_CASE("hook: none is no work") {
  const Hook none;
  CHECK(none.empty());
  none.run(HookStage::committed, kContext);
}

}  // namespace
}  // namespace crx
