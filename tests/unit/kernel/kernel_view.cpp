// The three ways to look into the kernel. None of them may pass for another.
#include "common/kernel/introspect/kernel_view.hpp"

#include <doctest/doctest.h>

#include "tests/unit/less_privileged.hpp"

namespace crx {

TEST_CASE("kernel.view: with it, everything can be read") {
  KernelView view;
  CHECK(view.opened_sleeps() == nullptr);
  REQUIRE_MESSAGE(view.access() == KernelAccess::with, view.reason());
  CHECK(view.sleeps() != nullptr);
  CHECK(view.opened_sleeps() == view.sleeps());
  CHECK(view.aio_requests() != nullptr);
  CHECK(view.unaccepted() != nullptr);
  CHECK(view.reason().empty());
}

TEST_CASE("kernel.view: without privileges nothing can be read, and it says why") {
  const LessPrivileged less;
  KernelView view;
  CHECK(view.access() == KernelAccess::without);
  CHECK(view.sleeps() == nullptr);
  CHECK(view.opened_sleeps() == nullptr);
  CHECK(view.aio_requests() == nullptr);
  CHECK(view.unaccepted() == nullptr);
  CHECK(view.reason() == "looking into the kernel is not permitted");
  CHECK(view.remedy().find("CAP_BPF") != std::string::npos);
}

TEST_CASE("kernel.view: switched off it reads nothing, whatever is permitted") {
  KernelView view(false);
  CHECK(view.access() == KernelAccess::off);
  CHECK(view.sleeps() == nullptr);
  CHECK(view.opened_sleeps() == nullptr);
  CHECK(view.aio_requests() == nullptr);
  CHECK(view.unaccepted() == nullptr);
  CHECK(view.reason() == "looking into the kernel is switched off");
  CHECK(view.remedy() == "leave out --no-kernel-introspection");
}

}  // namespace crx
