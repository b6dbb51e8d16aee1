#include "common/base/size.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>

namespace crx {
namespace {

// The exponent of 1024 that a suffix stands for; nullopt for an unknown suffix.
std::optional<unsigned> suffix_power(std::string_view suffix) {
  if (suffix.empty()) return 0;
  if (suffix == "B" || suffix == "b") return 0;
  static constexpr std::string_view kLetters = "KMGTPE";
  const char letter = static_cast<char>(suffix[0] & ~0x20);
  const std::size_t at = kLetters.find(letter);
  if (at == std::string_view::npos) return std::nullopt;
  suffix.remove_prefix(1);
  if (!suffix.empty() && suffix != "B" && suffix != "b" && suffix != "iB" && suffix != "ib") return std::nullopt;
  return static_cast<unsigned>(at) + 1;
}

}  // namespace

std::optional<uint64_t> parse_size(std::string_view text) {
  static constexpr uint64_t kMax = UINT64_MAX;
  std::size_t at = 0;
  uint64_t whole = 0;
  for (; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at) {
    const auto digit = static_cast<uint64_t>(text[at] - '0');
    if (whole > (kMax - digit) / 10) return std::nullopt;
    whole = whole * 10 + digit;
  }
  if (at == 0) return std::nullopt;
  uint64_t numerator = 0;
  uint64_t denominator = 1;
  if (at < text.size() && text[at] == '.') {
    const std::size_t first = ++at;
    for (; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at) {
      if (at - first >= 6) return std::nullopt;
      numerator = numerator * 10 + static_cast<uint64_t>(text[at] - '0');
      denominator *= 10;
    }
    if (at == first) return std::nullopt;
  }
  const std::optional<unsigned> power = suffix_power(text.substr(at));
  if (!power || (*power == 0 && denominator != 1)) return std::nullopt;
  const uint64_t unit = uint64_t{1} << (10 * *power);
  if (whole > kMax / unit) return std::nullopt;
  const uint64_t part = static_cast<uint64_t>(static_cast<double>(unit) * static_cast<double>(numerator) /
                                              static_cast<double>(denominator));
  const uint64_t bytes = whole * unit;
  if (bytes > kMax - part) return std::nullopt;
  return bytes + part;
}

std::string format_size(uint64_t bytes) {
  static constexpr std::array<std::string_view, 7> kUnits = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  double value = static_cast<double>(bytes);
  std::size_t unit = 0;
  for (; value >= 1023.95 && unit + 1 < kUnits.size(); ++unit) value /= 1024;
  return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.1f} {}", value, kUnits[unit]);
}

std::string format_rate(uint64_t bytes, int64_t us) {
  if (us <= 0) return "-";
  return format_size(static_cast<uint64_t>(static_cast<double>(bytes) * 1e6 / static_cast<double>(us))) + "/s";
}

std::string format_us(int64_t us) {
  const double value = static_cast<double>(us);
  if (std::abs(value) < 1000) return fmt::format("{} us", us);
  if (std::abs(value) < 1e6) return fmt::format("{:.1f} ms", value / 1e3);
  return fmt::format("{:.2f} s", value / 1e6);
}

std::string format_duration(int64_t us) {
  const int64_t seconds = std::max<int64_t>(us, 0) / 1'000'000 + (us > 0 && us % 1'000'000 > 0 ? 1 : 0);
  if (seconds < 60) return fmt::format("{} s", seconds);
  if (seconds < 3600) return fmt::format("{} min {:02} s", seconds / 60, seconds % 60);
  return fmt::format("{} h {:02} min", seconds / 3600, seconds / 60 % 60);
}

std::string format_count(uint64_t n) {
  std::string text = std::to_string(n);
  for (std::size_t at = text.size(); at > 3;) text.insert(at -= 3, 1, ',');
  return text;
}

}  // namespace crx
