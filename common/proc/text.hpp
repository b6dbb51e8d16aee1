// Tools for parsing the text files of /proc: splitting into lines, and a scanner for one line.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace crx::proc {

// The kernel appends this to the path of a removed file in maps, cgroup and the links of /proc.
inline constexpr std::string_view kDeleted = " (deleted)";

// Removes the next line from `text` and returns it without its newline; nullopt when `text` is empty.
std::optional<std::string_view> next_line(std::string_view& text);

// Returns the words of a line, which blanks and tabs separate.
std::vector<std::string_view> words_of(std::string_view line);

// Reads one line from left to right. Anything unexpected throws Error(kernel), which names the file and quotes the
// line; this includes numbers that do not fit 64 bits (or the given limit). Holds views only, so the line must outlive
// it.
class Scanner {
 public:
  // file: the name used in error messages, such as "/proc/PID/maps".
  Scanner(std::string_view file, std::string_view line) : file_(file), line_(line), left_(line) {}

  bool at_end() const noexcept { return left_.empty(); }
  std::string_view left() const noexcept { return left_; }

  // Skips spaces and tabs.
  Scanner& blanks() noexcept;
  // Consumes exactly this text, which must come next.
  Scanner& expect(std::string_view text);
  // Consumes this text if it comes next, and says whether it did.
  bool accept(std::string_view text) noexcept;
  // Consumes and returns everything up to the next `stop` (not included) or the end.
  std::string_view until(char stop) noexcept;
  // Consumes and returns the next word, up to a blank or the end; it must not be empty.
  std::string_view word();
  char character();

  // Numbers without sign or prefix; at least one digit.
  uint64_t dec(uint64_t limit = UINT64_MAX) { return number(10, limit); }
  uint64_t hex(uint64_t limit = UINT64_MAX) { return number(16, limit); }
  uint64_t oct(uint64_t limit = UINT64_MAX) { return number(8, limit); }
  uint32_t dec32() { return static_cast<uint32_t>(dec(UINT32_MAX)); }
  uint32_t hex32() { return static_cast<uint32_t>(hex(UINT32_MAX)); }
  uint32_t oct32() { return static_cast<uint32_t>(oct(UINT32_MAX)); }
  // A decimal number with an optional '-'.
  int64_t signed_dec();
  int32_t signed_dec32();
  // "0x" followed by hexadecimal digits.
  uint64_t prefixed_hex();

  // Throws unless the whole line has been consumed.
  void expect_end();
  [[noreturn]] void fail(std::string_view reason) const;

 private:
  uint64_t number(unsigned base, uint64_t limit);
  std::string_view file_, line_, left_;
};

// Reverts the kernel's mangle_path(): replaces each backslash that is followed by three octal digits (\ooo).
std::string unescape_octal(std::string_view text);

// Parses a file that holds a single number: "0000000000000023\n" (personality, coredump_filter), "50000\n"
// (timerslack_ns, oom_score_adj).
uint64_t parse_hex_value(std::string_view file, std::string_view text);
int64_t parse_signed_value(std::string_view file, std::string_view text);

// Parses "/autogroup-123 nice 5" (sched(7)) into the nice value; nullopt when the kernel has no autogroups or the
// process is in none.
std::optional<int32_t> autogroup_nice(std::string_view text);

}  // namespace crx::proc
