#include "common/base/size.hpp"

#include <doctest/doctest.h>

#include <vector>

#include "common/base/digest.hpp"

namespace crx {
namespace {

TEST_CASE("size: reads what people write") {
  CHECK(parse_size("0") == 0U);
  CHECK(parse_size("4096") == 4096U);
  CHECK(parse_size("64k") == 65536U);
  CHECK(parse_size("100M") == 100U << 20);
  CHECK(parse_size("100MiB") == 100U << 20);
  CHECK(parse_size("1.5G") == 3ULL << 29);
  CHECK(parse_size("16EB") == std::nullopt);
  CHECK(parse_size("15E") == 15ULL << 60);
  CHECK(parse_size("18446744073709551615") == UINT64_MAX);
  for (const char* bad : {"", "M", "-1", "+1", "1.5", "1.G", "1..5G", "1x", "1MM", "18446744073709551616", " 1", "1 ",
                          "0x10", "1.1234567G"}) {
    CHECK_MESSAGE(!parse_size(bad), bad);
  }
}

TEST_CASE("size: writes what people read") {
  CHECK(format_size(0) == "0 B");
  CHECK(format_size(1023) == "1023 B");
  CHECK(format_size(3ULL << 29) == "1.5 GiB");
  CHECK(format_size((1ULL << 20) - 1) == "1.0 MiB");
  CHECK(format_rate(1 << 20, 1'000'000) == "1.0 MiB/s");
  CHECK(format_rate(1, 0) == "-");
  CHECK(format_us(870) == "870 us");
  CHECK(format_us(12'345) == "12.3 ms");
  CHECK(format_us(4'100'000) == "4.10 s");
  CHECK(format_duration(-5) == "0 s");
  CHECK(format_duration(1) == "1 s");
  CHECK(format_duration(59'000'000) == "59 s");
  CHECK(format_duration(59'000'001) == "1 min 00 s");
  CHECK(format_duration(11'220'000'000) == "3 h 07 min");
  CHECK(format_count(0) == "0");
  CHECK(format_count(999) == "999");
  CHECK(format_count(1'234'567) == "1,234,567");
}

TEST_CASE("digest: pieces give what the whole gives") {
  std::vector<std::byte> bytes(100'000);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i * 131);
  Digester digester;
  const std::span<const std::byte> all(bytes);
  digester.add(all.first(77));
  digester.add(all.subspan(77));
  CHECK(digester.finish128() == digest128(all));
  CHECK(digest128(all).hex().size() == 32);
  CHECK_FALSE(digest128(all) == digest128(all.first(99'999)));
}

}  // namespace
}  // namespace crx
