// Sizes, rates and durations in the form that people write and read.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace crx {

// Parses "4096", "64K", "100M", "1.5G" or "2T" into bytes; "B" or "iB" may follow the suffix, which may be lower case.
// Suffixes are powers of 1024, as in CRIU. Returns nullopt for text that is not a size or does not fit 64 bits.
std::optional<uint64_t> parse_size(std::string_view text);

std::string format_size(uint64_t bytes);              // "512 B", "1.5 GiB"
std::string format_rate(uint64_t bytes, int64_t us);  // "310.2 MiB/s"; "-" when us <= 0
std::string format_us(int64_t us);                    // "870 us", "12.3 ms", "4.10 s"
std::string format_duration(int64_t us);              // whole seconds: "9 s", "2 min 05 s", "3 h 07 min"
std::string format_count(uint64_t n);                 // "1,234,567"

}  // namespace crx
