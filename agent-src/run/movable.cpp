#include "agent-src/run/movable.hpp"

#include <map>
#include <memory>
#include <utility>

#include "agent-src/collect/kind/collector.hpp"
#include "agent-src/collect/kind/file_table.hpp"
#include "agent-src/collect/memory/memory_map.hpp"
#include "agent-src/snapshot/inspection.hpp"
#include "agent-src/tree/process_tree.hpp"
#include "common/base/clock.hpp"
#include "common/kernel/introspect/kernel_view.hpp"
#include "common/proc/proc_dir.hpp"
#include "common/proc/stat.hpp"

namespace crx {
namespace {

constexpr int64_t kSettleMs = 1000;
constexpr int64_t kLookMs = 20;
constexpr int kWaitingLooks = 3;  // in a row: a program that starts waits for its files now and then

bool is_waiting(pid_t pid) {
  const std::optional<ProcDir> process = ProcDir::open(pid);
  const std::optional<proc::Stat> stat = process ? process->stat() : std::nullopt;
  return stat && stat->state == 'S';
}

}  // namespace

std::optional<ChildStatus> wait_until_settled(ChildProcess& program) {
  const Deadline deadline = Deadline::in_ms(kSettleMs);
  for (int waiting = 0; waiting < kWaitingLooks && !deadline.passed();) {
    if (const auto ended = program.wait_until(Deadline::in_ms(kLookMs))) return ended;
    waiting = is_waiting(program.pid()) ? waiting + 1 : 0;
  }
  return std::nullopt;
}

std::vector<Finding> find_obstacles(pid_t root) {
  KernelView kernel(true);
  CollectOptions options;
  options.kernel = &kernel;
  const TreeSnapshot tree = list_tree(root);
  std::vector<Refusal> refusals = inspect_tree(tree, options);
  FileTable files;
  std::map<pid_t, std::unique_ptr<MemoryMap>> maps;
  const auto map_of = [&](pid_t pid) -> MemoryMap& {
    std::unique_ptr<MemoryMap>& map = maps[pid];
    if (map == nullptr) map = std::make_unique<MemoryMap>(pid, files);
    return *map;
  };
  (void)inspect_mappings(root, tree.tasks, map_of, refusals);
  std::vector<Finding> findings;
  for (const Refusal& r : refusals) findings.push_back({true, {}, r.object, r.reason, r.remedy});
  return findings;
}

}  // namespace crx
