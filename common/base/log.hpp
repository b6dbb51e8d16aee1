// Logging to stderr. The level is set once in main; every line names the process that wrote it (role and PID).
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>

namespace crx::log {

enum class Level { error, warn, info, debug };

// Called once, before other threads start. role: the name printed in every line ("migrate", "agent/engine").
void setup(Level level, std::string_view role);
// Parses "error", "warn", "info" or "debug"; throws Error(refused) for any other text.
Level parse_level(std::string_view name);
bool enabled(Level level) noexcept;
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

}  // namespace crx::log
