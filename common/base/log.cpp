#include "common/base/log.hpp"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include "common/base/error.hpp"

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
  logger->set_pattern("%H:%M:%S.%f %n[%P] %l: %v");
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
  spdlog::log(spd(level), line);
}

}  // namespace crx::log
