#include "common/tool/fault_point.hpp"

#include <fmt/format.h>
#include <signal.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <new>

#include "common/base/error.hpp"
#include "common/base/log.hpp"

namespace crx {
namespace {

constexpr std::array<std::string_view, 30> kNames = {
    "source_greeted",       "source_cleared",        "source_gathered",     "source_tracking",
    "source_round",         "source_frozen",         "source_state_sent",   "source_memory_sent",
    "source_prepared",      "source_locks_released", "source_group_frozen", "source_go_journalled",
    "source_go_sent",       "source_verdict",        "source_original_end", "source_final_record",
    "destination_greeted",  "destination_surveyed",  "destination_layout",  "destination_round",
    "destination_building", "destination_prepared",  "destination_go",      "destination_group_frozen",
    "destination_resuming", "destination_released",  "destination_resumed", "destination_thawed",
    "destination_answered", "destination_settlement"};

constexpr char kReachStep[] = "reaching a fault point";

static_assert(kNames.size() == static_cast<std::size_t>(FaultPoint::destination_settlement) + 1);

void act(FaultPoint point, const std::string& action) {
  log::warn("CRX_FAULT_POINT: {} at {}", action, to_string(point));
  const std::string whole = fmt::format("{}={}", to_string(point), action);
  if (action == "kill") ::raise(SIGKILL);
  if (action == "stop") {
    ::unsetenv("CRX_FAULT_POINT");
    ::raise(SIGSTOP);
  }
  if (action == "error") throw Error(ErrorCode::kernel, kReachStep, whole);
  if (action == "nospace") throw Error(ErrorCode::kernel, kReachStep, whole, ENOSPC);
  if (action == "nomemory") throw std::bad_alloc();
}

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
  std::string_view rest = armed;
  while (!rest.empty()) {
    const std::string_view text = rest.substr(0, rest.find(','));
    rest.remove_prefix(std::min(text.size() + 1, rest.size()));
    const std::size_t equals = text.find('=');
    if (equals == std::string_view::npos || text.substr(0, equals) != to_string(point)) continue;
    return act(point, std::string(text.substr(equals + 1)));
  }
}

}  // namespace crx
