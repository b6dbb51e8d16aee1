#include "agent-dst/front/agent_health.hpp"

#include <fmt/format.h>

#include "common/base/size.hpp"

namespace crx::front {
namespace {

constexpr int64_t kSilentMs = 6 * ipc::AgentCounters::kBeatMs;
constexpr uint64_t kLeastFreeBytes = uint64_t{64} << 20;

}  // namespace

std::vector<std::string> health_problems(const ipc::AgentCounters& counters, int64_t now_ms) {
  std::vector<std::string> problems;
  const auto beat_ms = static_cast<int64_t>(counters.beat_ms.load());
  if (now_ms - beat_ms > kSilentMs)
    problems.push_back(fmt::format("the supervisor has done nothing for {} s", (now_ms - beat_ms) / 1000));
  if (counters.is_stopping != 0) problems.emplace_back("the agent is being stopped");
  if (counters.signer_is_ready == 0) problems.emplace_back("the signer is not running, so nobody can authenticate");
  if (counters.store_is_writable == 0) {
    problems.emplace_back("the store cannot be written");
  } else if (counters.store_free_bytes < kLeastFreeBytes) {
    problems.push_back(fmt::format("only {} are free in the store", format_size(counters.store_free_bytes)));
  }
  return problems;
}

}  // namespace crx::front
