#include "common/base/log.hpp"

#include <doctest/doctest.h>

namespace crx {

TEST_CASE("lines that anybody can cause have a quota") {
  log::Quota quota(3, 1000);
  int64_t now_us = 5'000'000'000;
  for (int i = 0; i < 3; ++i) CHECK(quota.take(now_us) == "");
  for (int i = 0; i < 40; ++i) CHECK_FALSE(quota.take(now_us));
  CHECK_FALSE(quota.take(now_us + 999'999));
  CHECK(quota.take(now_us + 1'000'000) == " (41 lines like this were left out)");
  CHECK_FALSE(quota.take(now_us + 1'000'001));
  now_us += 3'600'000'000;  // the burst does not grow beyond its size
  CHECK(quota.take(now_us) == " (1 lines like this were left out)");
  for (int i = 0; i < 2; ++i) CHECK(quota.take(now_us) == "");
  CHECK_FALSE(quota.take(now_us));
}

}  // namespace crx
