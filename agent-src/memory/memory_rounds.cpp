#include "agent-src/memory/memory_rounds.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "common/base/error.hpp"

namespace crx {

void MemoryRounds::add_space(pid_t pid, std::unique_ptr<Tracker> tracker) {
  spaces_[pid] = std::make_unique<SpaceRounds>(pid, std::move(tracker));
}

void MemoryRounds::remove_space(pid_t pid) {
  spaces_.erase(pid);
}

bool MemoryRounds::needs_stop() const {
  return std::any_of(spaces_.begin(), spaces_.end(),
                     [](const auto& entry) { return entry.second->tracker().needs_stop(); });
}

SpaceRounds& MemoryRounds::space(pid_t pid) {
  const auto found = spaces_.find(pid);
  if (found == spaces_.end()) {
    throw Error(ErrorCode::bug, "tracking memory", fmt::format("process {} was never added", pid));
  }
  return *found->second;
}

std::vector<MappedSpace> MemoryRounds::mapped(std::span<const SpaceVmas> spaces) {
  std::vector<MappedSpace> out;
  for (const SpaceVmas& entry : spaces) out.push_back({entry.pid, &space(entry.pid).tracker(), &entry.vmas});
  return out;
}

MemoryStatistics MemoryRounds::begin_round(std::span<const SpaceVmas> spaces) {
  MemoryStatistics statistics;
  for (const SpaceVmas& entry : spaces) space(entry.pid).begin_round(entry.vmas, statistics);
  objects_.begin_round(mapped(spaces), statistics);
  return statistics;
}

void MemoryRounds::send_round(PageSink& sink, MemoryStatistics& statistics) {
  for (const auto& [pid, rounds] : spaces_) rounds->send_round(sink, statistics);
  objects_.send_round(sink, statistics);
}

FinalMemory MemoryRounds::final_scan(std::span<const SpaceVmas> spaces, MemoryStatistics& statistics) {
  FinalMemory memory;
  for (const SpaceVmas& entry : spaces) {
    memory.spaces.push_back(space(entry.pid).final_scan(entry.vmas, statistics));
  }
  memory.objects = objects_.final_scan(mapped(spaces), statistics);
  return memory;
}

void MemoryRounds::send_final(const FinalMemory& memory, PageSink& sink, MemoryStatistics& statistics) {
  for (const FinalSpace& found : memory.spaces) space(found.pid).send_final(found, sink, statistics);
  objects_.send_final(memory.objects, sink, statistics);
}

void MemoryRounds::forget(pid_t pid, PageRange range) {
  space(pid).forget(range);
}

}  // namespace crx
