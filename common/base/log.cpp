#include "common/base/log.hpp"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "common/base/error.hpp"

namespace crx {
namespace {

struct Character {
  uint32_t code = 0;
  std::size_t bytes = 1;
  bool valid = false;
};

// Decodes the first character of a text that is not empty. RFC 3629: the shortest form only, no surrogates.
Character first_character(std::string_view text) {
  const auto byte = [&](std::size_t at) { return static_cast<unsigned char>(text[at]); };
  const unsigned lead = byte(0);
  if (lead < 0x80) return {lead, 1, true};
  const std::size_t bytes = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || text.size() < bytes) return {};
  uint32_t code = lead & (0x7fU >> bytes);
  for (std::size_t at = 1; at < bytes; ++at) {
    if ((byte(at) & 0xc0U) != 0x80U) return {};
    code = code << 6 | (byte(at) & 0x3fU);
  }
  constexpr uint32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
  if (code < kLeast[bytes] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) return {};
  return {code, bytes, true};
}

bool is_harmless(uint32_t code) {
  if (code < 0x20 || (code >= 0x7f && code < 0xa0)) return false;
  if (code == 0x2028 || code == 0x2029) return false;  // line separators
  return !(code >= 0x202a && code <= 0x202e) && !(code >= 0x2066 && code <= 0x2069) && code != 0x61c &&
         code != 0x200e && code != 0x200f && code != 0xfeff;
}

}  // namespace

std::string printable(std::string_view text, std::string_view replacement) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const Character next = first_character(text);
    if (next.valid && is_harmless(next.code))
      out += text.substr(0, next.bytes);
    else
      out += replacement;
    text.remove_prefix(next.bytes);
  }
  return out;
}

}  // namespace crx

namespace crx::log {
namespace {

spdlog::level::level_enum spd(Level level) {
  switch (level) {
    case Level::error:
      return spdlog::level::err;
    case Level::warn:
      return spdlog::level::warn;
    case Level::info:
      return spdlog::level::info;
    case Level::debug:
      return spdlog::level::debug;
  }
  return spdlog::level::info;
}

}  // namespace

void setup(Level level, std::string_view role) {
  auto logger = std::make_shared<spdlog::logger>(std::string(role), std::make_shared<spdlog::sinks::stderr_sink_mt>());
  logger->set_level(spd(level));
  logger->set_pattern("%Y-%m-%d %H:%M:%S.%f %n[%P] %l: %v");
  spdlog::set_default_logger(std::move(logger));
}

Level parse_level(std::string_view name) {
  if (name == "error") return Level::error;
  if (name == "warn") return Level::warn;
  if (name == "info") return Level::info;
  if (name == "debug") return Level::debug;
  throw Error(ErrorCode::refused, "reading --log-level", std::string(name) + " is not a level")
      .with_hint("use error, warn, info or debug");
}

bool enabled(Level level) noexcept {
  return spdlog::should_log(spd(level));
}
void write(Level level, std::string_view line) {
  spdlog::log(spd(level), printable(line));
}

std::optional<std::string> Quota::take(int64_t now_us) {
  const int64_t refill_us = refill_ms_ * 1000;
  const int64_t due = (now_us - last_us_) / refill_us;
  if (due > 0) {
    left_ = static_cast<unsigned>(std::min<int64_t>(burst_, left_ + std::min<int64_t>(due, burst_)));
    last_us_ += due * refill_us;
  }
  if (left_ == 0) {
    ++left_out_;
    return std::nullopt;
  }
  --left_;
  const uint64_t left_out = std::exchange(left_out_, 0);
  return left_out == 0 ? std::string() : fmt::format(" ({} lines like this were left out)", left_out);
}

}  // namespace crx::log
