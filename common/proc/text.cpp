#include "common/proc/text.hpp"

#include <fmt/format.h>
#include <algorithm>

#include "common/base/error.hpp"

namespace crx::proc {
namespace {

// The value of a digit in bases up to 16; 16 for any other character.
unsigned digit(char c) {
  if (c >= '0' && c <= '9') return static_cast<unsigned>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<unsigned>(c - 'a') + 10;
  if (c >= 'A' && c <= 'F') return static_cast<unsigned>(c - 'A') + 10;
  return 16;
}

bool is_blank(char c) {
  return c == ' ' || c == '\t';
}

}  // namespace

std::optional<std::string_view> next_line(std::string_view& text) {
  if (text.empty()) return std::nullopt;
  const std::size_t end = text.find('\n');
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return line;
}

std::vector<std::string_view> words_of(std::string_view line) {
  std::vector<std::string_view> words;
  for (;;) {
    const auto start = line.find_first_not_of(" \t");
    if (start == std::string_view::npos) return words;
    line.remove_prefix(start);
    const auto end = std::min(line.find_first_of(" \t"), line.size());
    words.push_back(line.substr(0, end));
    line.remove_prefix(end);
  }
}

Scanner& Scanner::blanks() noexcept {
  while (!left_.empty() && is_blank(left_.front())) left_.remove_prefix(1);
  return *this;
}

Scanner& Scanner::expect(std::string_view text) {
  if (!accept(text)) fail(fmt::format("\"{}\" should follow", text));
  return *this;
}

bool Scanner::accept(std::string_view text) noexcept {
  if (!left_.starts_with(text)) return false;
  left_.remove_prefix(text.size());
  return true;
}

std::string_view Scanner::until(char stop) noexcept {
  const std::string_view taken = left_.substr(0, left_.find(stop));
  left_.remove_prefix(taken.size());
  return taken;
}

std::string_view Scanner::word() {
  std::size_t size = 0;
  while (size < left_.size() && !is_blank(left_[size])) ++size;
  if (size == 0) fail("a word should follow");
  const std::string_view taken = left_.substr(0, size);
  left_.remove_prefix(size);
  return taken;
}

char Scanner::character() {
  if (left_.empty()) fail("a character should follow");
  const char c = left_.front();
  left_.remove_prefix(1);
  return c;
}

uint64_t Scanner::number(unsigned base, uint64_t limit) {
  uint64_t value = 0;
  std::size_t size = 0;
  for (; size < left_.size() && digit(left_[size]) < base; ++size) {
    const uint64_t next = digit(left_[size]);
    if (value > (limit - next) / base) fail("a number is too large");
    value = value * base + next;
  }
  if (size == 0) fail("a number should follow");
  left_.remove_prefix(size);
  return value;
}

int64_t Scanner::signed_dec() {
  if (!accept("-")) return static_cast<int64_t>(dec(INT64_MAX));
  const uint64_t size = dec(uint64_t{INT64_MAX} + 1);
  return static_cast<int64_t>(~size + 1);
}

int32_t Scanner::signed_dec32() {
  const int64_t value = signed_dec();
  if (value < INT32_MIN || value > INT32_MAX) fail("a number is too large");
  return static_cast<int32_t>(value);
}

uint64_t Scanner::prefixed_hex() {
  return expect("0x").hex();
}

void Scanner::expect_end() {
  if (!blanks().at_end()) fail("the line should end");
}

void Scanner::fail(std::string_view reason) const {
  std::string quoted;
  for (const char c : line_.substr(0, 200)) quoted += c >= ' ' && c < 0x7f ? c : '?';
  throw Error(ErrorCode::kernel, fmt::format("parsing {}", file_),
              fmt::format("\"{}\": {} at column {}", quoted, reason, line_.size() - left_.size() + 1));
}

std::string unescape_octal(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    if (text.size() >= 4 && text[0] == '\\' && digit(text[1]) < 4 && digit(text[2]) < 8 && digit(text[3]) < 8) {
      out += static_cast<char>(digit(text[1]) << 6 | digit(text[2]) << 3 | digit(text[3]));
      text.remove_prefix(4);
    } else {
      out += text.front();
      text.remove_prefix(1);
    }
  }
  return out;
}

uint64_t parse_hex_value(std::string_view file, std::string_view text) {
  Scanner line(file, next_line(text).value_or(""));
  const uint64_t value = line.blanks().hex();
  line.expect_end();
  return value;
}

int64_t parse_signed_value(std::string_view file, std::string_view text) {
  Scanner line(file, next_line(text).value_or(""));
  const int64_t value = line.blanks().signed_dec();
  line.expect_end();
  return value;
}

std::optional<int32_t> autogroup_nice(std::string_view text) {
  const auto at = text.find(" nice ");
  if (at == std::string_view::npos) return std::nullopt;
  text.remove_prefix(at + 6);
  return static_cast<int32_t>(parse_signed_value("/proc/PID/autogroup", text));
}

}  // namespace crx::proc
