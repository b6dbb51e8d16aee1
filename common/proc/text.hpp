// Small tools for the texts of /proc: lines, and a scanner for what stands in one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace crx::proc {

// Takes the next line off `text`, without its newline; nothing when `text` is empty.
std::optional<std::string_view> next_line(std::string_view& text);

// Reads one line from left to right. Everything that does not fit throws Error(kernel) that names the file
// and quotes the line. Numbers that do not fit 64 bits (or the given limit) are such a case. Keeps views
// only.
class Scanner {
 public:
  // file: "/proc/PID/maps", for messages.
  Scanner(std::string_view file, std::string_view line) : file_(file), line_(line), left_(line) {}

  bool at_end() const noexcept { return left_.empty(); }
  std::string_view left() const noexcept { return left_; }

  // Skips spaces and tabs.
  Scanner& blanks() noexcept;
  // Takes exactly this text, which must come next.
  Scanner& expect(std::string_view text);
  // Takes this text if it comes next.
  bool accept(std::string_view text) noexcept;
  // Everything up to (not with) the next `stop` or the end.
  std::string_view until(char stop) noexcept;
  // The next word: up to a blank or the end; must not be empty.
  std::string_view word();
  char character();

  // Numbers without sign or prefix, at least one digit.
  uint64_t dec(uint64_t limit = UINT64_MAX) { return number(10, limit); }
  uint64_t hex(uint64_t limit = UINT64_MAX) { return number(16, limit); }
  uint64_t oct(uint64_t limit = UINT64_MAX) { return number(8, limit); }
  uint32_t dec32() { return static_cast<uint32_t>(dec(UINT32_MAX)); }
  uint32_t hex32() { return static_cast<uint32_t>(hex(UINT32_MAX)); }
  uint32_t oct32() { return static_cast<uint32_t>(oct(UINT32_MAX)); }
  // A decimal number with an optional '-'.
  int64_t signed_dec();
  int32_t signed_dec32();
  // "0x" and hexadecimal digits.
  uint64_t prefixed_hex();

  void expect_end();
  [[noreturn]] void fail(std::string_view reason) const;

 private:
  uint64_t number(unsigned base, uint64_t limit);
  std::string_view file_, line_, left_;
};

// Undoes \ooo with the kernel's mangle_path(): every backslash with three octal digits behind it.
std::string unescape_octal(std::string_view text);

// A file that holds one number: "0000000000000023\n" (personality, coredump_filter), "50000\n"
// (timerslack_ns, oom_score_adj).
uint64_t parse_hex_value(std::string_view file, std::string_view text);
int64_t parse_signed_value(std::string_view file, std::string_view text);

// "/autogroup-123 nice 5" (sched(7)): nothing where the kernel has no such groups, or the process is in none.
std::optional<int32_t> autogroup_nice(std::string_view text);

}  // namespace crx::proc
