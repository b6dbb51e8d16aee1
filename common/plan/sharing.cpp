#include "common/plan/sharing.hpp"

#include <array>
#include <cstddef>
#include <map>

namespace crx {
namespace {

constexpr std::size_t kNobody = SIZE_MAX;
constexpr bool can_be_left(uint32_t bit) {
  return bit == sharing::kDescriptors || bit == sharing::kFilesystem;
}

uint32_t in_common(const TaskNode& a, const TaskNode& b) {
  uint32_t bits = 0;
  for (std::size_t kind = 0; kind < sharing::kEach.size(); ++kind)
    bits |= a.groups[kind] == b.groups[kind] ? sharing::kEach[kind] : 0;
  return bits;
}

// Returns the weight of a set of shared resources: resources that unshare(2) cannot separate have the highest weight.
unsigned weight(uint32_t bits) {
  const auto has = [bits](uint32_t bit) { return (bits & bit) != 0 ? 1u : 0u; };
  return has(sharing::kMemory) * 8 + has(sharing::kSignalHandlers) * 4 + has(sharing::kDescriptors) * 2 +
         has(sharing::kFilesystem);
}

class Plan {
 public:
  explicit Plan(std::vector<TaskNode>& tasks) : tasks_(tasks), cloners_(tasks.size(), kNobody) {}

  std::vector<SharingConflict> run() {
    for (std::size_t i = 0; i < tasks_.size(); ++i) choose_cloner(i);
    for (std::size_t kind = 0; kind < sharing::kEach.size(); ++kind) {
      if (can_be_left(sharing::kEach[kind])) {
        hand_down(kind);
      } else {
        check_handed_down(kind);
      }
    }
    return std::move(conflicts_);
  }

 private:
  // Chooses the cloner: the parent, or the earlier child of the same parent with which the task shares most.
  void choose_cloner(std::size_t i) {
    TaskNode& task = tasks_[i];
    task.cloner = 0;
    task.clone_flags = task.unshare_flags = 0;
    if (task.dead || i == 0) return;
    unsigned best = 0;
    for (std::size_t j = 0; j < i; ++j) {
      const TaskNode& other = tasks_[j];
      const bool is_parent = other.pid == task.ppid;
      if (other.dead || (!is_parent && (j == 0 || other.ppid != task.ppid))) continue;
      const uint32_t bits = in_common(task, other);
      if (!is_parent && weight(bits) <= best) continue;
      best = weight(bits);
      cloners_[i] = j;
      task.cloner = is_parent ? 0 : other.pid;
      task.clone_flags = bits & (sharing::kMemory | sharing::kSignalHandlers);
    }
  }

  // Finds processes that cannot share: a process can only be forked with a resource that its cloner has.
  void check_handed_down(std::size_t kind) {
    std::map<uint32_t, std::size_t> first;
    for (std::size_t i = 0; i < tasks_.size(); ++i) {
      if (tasks_[i].dead) continue;
      const auto [found, is_new] = first.emplace(tasks_[i].groups[kind], i);
      if (!is_new && (tasks_[i].clone_flags & sharing::kEach[kind]) == 0) conflict(i, found->second, kind);
    }
  }

  // Hands resources down: every process on the path between two that share a resource is forked with it.
  void hand_down(std::size_t kind) {
    std::map<uint32_t, std::vector<std::size_t>> groups;
    for (std::size_t i = 0; i < tasks_.size(); ++i) {
      if (!tasks_[i].dead) groups[tasks_[i].groups[kind]].push_back(i);
    }
    // owner: for each process, the first member of the group whose resource it is forked with
    std::vector<std::size_t> owner(tasks_.size(), kNobody);
    for (const auto& [group, members] : groups) {
      if (members.size() > 1) connect(kind, members, owner);
    }
  }

  void connect(std::size_t kind, const std::vector<std::size_t>& members, std::vector<std::size_t>& owner) {
    // below: how many members of the group each process has among its descendants and itself
    std::vector<std::size_t> below(tasks_.size(), 0);
    for (const std::size_t member : members) below[member] = 1;
    for (std::size_t i = tasks_.size(); i-- > 0;) {
      if (cloners_[i] != kNobody) below[cloners_[i]] += below[i];
    }
    for (std::size_t i = 0; i < tasks_.size(); ++i) {
      if (cloners_[i] == kNobody || below[i] == 0 || below[i] == members.size()) continue;
      tasks_[i].clone_flags |= sharing::kEach[kind];
      take(kind, i, members.front(), owner);
      take(kind, cloners_[i], members.front(), owner);
    }
  }

  void take(std::size_t kind, std::size_t i, std::size_t first, std::vector<std::size_t>& owner) {
    if (owner[i] == first) return;
    if (owner[i] != kNobody) return conflict(first, owner[i], kind);
    owner[i] = first;
    if (tasks_[i].groups[kind] != tasks_[first].groups[kind]) tasks_[i].unshare_flags |= sharing::kEach[kind];
  }

  void conflict(std::size_t i, std::size_t other, std::size_t kind) {
    conflicts_.push_back({tasks_[i].pid, tasks_[other].pid, sharing::kEach[kind]});
  }

  std::vector<TaskNode>& tasks_;
  std::vector<std::size_t> cloners_;
  std::vector<SharingConflict> conflicts_;
};

}  // namespace

std::vector<SharingConflict> plan_sharing(std::vector<TaskNode>& tasks) {
  return Plan(tasks).run();
}

}  // namespace crx
