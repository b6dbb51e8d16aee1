// Logging to stderr, and text that is safe to log and to show. The level is set once in main; every line names the
// process that wrote it (role and PID).
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace crx {

// The text with `replacement` in place of everything that could end a line or is a command to a terminal: control
// characters (also newline and tab, and those of U+0080 to U+009F), line separators, characters that change the
// direction of text, and bytes that are not UTF-8. Names, command lines and reasons come from peers, images and moved
// programs. Unicode TR36, 2.10.
std::string printable(std::string_view text, std::string_view replacement = "?");

}  // namespace crx

namespace crx::log {

enum class Level { error, warn, info, debug };

// Called once, before other threads start. role: the name printed in every line ("migrate", "agent/engine").
void setup(Level level, std::string_view role);
// Parses "error", "warn", "info" or "debug"; throws Error(refused) for any other text.
Level parse_level(std::string_view name);
bool enabled(Level level) noexcept;
// Writes one line, also where the text has newlines: lines contain texts of peers (printable()).
void write(Level level, std::string_view line);

// Formats the line only when the level is enabled.
template <typename... Args>
void at(Level level, fmt::format_string<Args...> text, Args&&... args) {
  if (enabled(level)) write(level, fmt::format(text, std::forward<Args>(args)...));
}
template <typename... Args>
void error(fmt::format_string<Args...> text, Args&&... args) {
  at(Level::error, text, std::forward<Args>(args)...);
}
template <typename... Args>
void warn(fmt::format_string<Args...> text, Args&&... args) {
  at(Level::warn, text, std::forward<Args>(args)...);
}
template <typename... Args>
void info(fmt::format_string<Args...> text, Args&&... args) {
  at(Level::info, text, std::forward<Args>(args)...);
}
template <typename... Args>
void debug(fmt::format_string<Args...> text, Args&&... args) {
  at(Level::debug, text, std::forward<Args>(args)...);
}

// Limits lines about events that anybody can cause, so that nobody can fill the disk with them: `burst` lines at once,
// then one for each `refill_ms`. Not thread-safe.
class Quota {
 public:
  Quota(unsigned burst, int64_t refill_ms) : burst_(burst), refill_ms_(refill_ms), left_(burst) {}
  // nullopt: leave this line out. Otherwise a text to append to it, which says how many lines before it were left out;
  // empty if none was. now_us: CLOCK_MONOTONIC.
  std::optional<std::string> take(int64_t now_us);

 private:
  unsigned burst_;
  int64_t refill_ms_;
  unsigned left_;
  int64_t last_us_ = 0;  // when left_ was last raised
  uint64_t left_out_ = 0;
};

}  // namespace crx::log
