#include "common/tool/fault_point.hpp"

#include <fmt/format.h>
#include <signal.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <new>

#include "common/base/error.hpp"
#include "common/base/log.hpp"

namespace crx {
namespace {

constexpr std::array<std::string_view, 28> kNames = {
    "source_greeted",       "source_cleared",        "source_gathered",          "source_tracking",
    "source_round",         "source_frozen",         "source_state_sent",        "source_memory_sent",
    "source_prepared",      "source_locks_released", "source_group_frozen",      "source_go_journalled",
    "source_go_sent",       "source_verdict",        "source_original_end",      "destination_greeted",
    "destination_surveyed", "destination_layout",    "destination_round",        "destination_building",
    "destination_prepared", "destination_go",        "destination_group_frozen", "destination_resuming",
    "destination_released", "destination_resumed",   "destination_thawed",       "destination_answered"};

constexpr char kReachStep[] = "reaching a fault point";

static_assert(kNames.size() == static_cast<std::size_t>(FaultPoint::destination_answered) + 1);

}  // namespace

std::string_view to_string(FaultPoint point) {
  return kNames[static_cast<std::size_t>(point)];
}

std::optional<FaultPoint> parse_fault_point(std::string_view text) {
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    if (kNames[i] == text) return static_cast<FaultPoint>(i);
  }
  return std::nullopt;
}

void reach(FaultPoint point) {
  const char* const armed = ::getenv("CRX_FAULT_POINT");
  if (armed == nullptr) return;
  const std::string_view text = armed;
  const std::size_t equals = text.find('=');
  if (equals == std::string_view::npos || text.substr(0, equals) != to_string(point)) return;
  const std::string_view action = text.substr(equals + 1);
  log::warn("CRX_FAULT_POINT: {} at {}", action, to_string(point));
  const std::string whole(text), wanted(action);
  ::unsetenv("CRX_FAULT_POINT");
  if (wanted == "kill") ::raise(SIGKILL);
  if (wanted == "stop") ::raise(SIGSTOP);
  if (wanted == "error") throw Error(ErrorCode::kernel, kReachStep, whole);
  if (wanted == "nospace") throw Error(ErrorCode::kernel, kReachStep, whole, ENOSPC);
  if (wanted == "nomemory") throw std::bad_alloc();
}

}  // namespace crx
