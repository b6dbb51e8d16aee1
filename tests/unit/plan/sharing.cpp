#include <doctest/doctest.h>

#include <map>
#include <string>
#include <vector>

#include "common/plan/sharing.hpp"

namespace crx {
namespace {

// A row for each process: number, parent, and one letter each for its memory, descriptors, directories and signal
// handlers. Processes with the same letter share the object; '.' stands for one of its own.
struct SharingRow {
  pid_t pid, ppid;
  std::string things;
};

struct Planned {
  std::map<pid_t, TaskNode> tasks;
  std::vector<SharingConflict> conflicts;
};

Planned plan(const std::vector<SharingRow>& rows) {
  std::vector<TaskNode> tasks;
  uint32_t own = 1000;
  for (const SharingRow& row : rows) {
    TaskNode& task = tasks.emplace_back();
    task.pid = row.pid;
    task.ppid = row.ppid;
    for (std::size_t kind = 0; kind < 4; ++kind)
      task.groups[kind] = row.things[kind] == '.' ? own++ : static_cast<uint32_t>(row.things[kind]);
  }
  Planned planned;
  planned.conflicts = plan_sharing(tasks);
  for (const TaskNode& task : tasks) planned.tasks[task.pid] = task;
  return planned;
}

constexpr uint32_t kFiles = sharing::kDescriptors, kFolders = sharing::kFilesystem;

TEST_CASE("sharing: with a parent, and with no task") {
  const Planned planned = plan({{1, 0, "abcd"}, {2, 1, "abcd"}, {3, 1, "...."}, {4, 2, ".b.."}});
  CHECK(planned.conflicts.empty());
  CHECK(planned.tasks.at(2).clone_flags == sharing::kAll);
  CHECK(planned.tasks.at(3).clone_flags == 0);
  CHECK(planned.tasks.at(4).clone_flags == kFiles);
  for (const auto& [pid, task] : planned.tasks) CHECK((task.cloner == 0 && task.unshare_flags == 0));
}

TEST_CASE("sharing: siblings have from each other what their parent does not have") {
  const Planned planned =
      plan({{1, 0, "...."}, {2, 1, "a..a"}, {3, 1, "a..a"}, {4, 1, "...."}, {5, 1, "abca"}, {6, 5, "abca"}});
  CHECK(planned.conflicts.empty());
  CHECK(planned.tasks.at(2).cloner == 0);
  CHECK(planned.tasks.at(3).cloner == 2);
  CHECK(planned.tasks.at(4).cloner == 0);
  CHECK(planned.tasks.at(5).cloner == 2);
  CHECK(planned.tasks.at(5).clone_flags == (sharing::kMemory | sharing::kSignalHandlers));
  CHECK(planned.tasks.at(6).cloner == 0);
  CHECK(planned.tasks.at(6).clone_flags == sharing::kAll);
}

TEST_CASE("sharing: tasks in between pass on objects that they leave later") {
  // Processes 1 and 3 share descriptors, processes 3 and 5 share directories.
  const Planned planned = plan({{1, 0, ".a.."}, {2, 1, "...."}, {3, 2, ".ab."}, {4, 1, "...."}, {5, 4, "..b."}});
  CHECK(planned.conflicts.empty());
  CHECK(planned.tasks.at(1).unshare_flags == kFolders);
  CHECK(planned.tasks.at(2).clone_flags == (kFiles | kFolders));
  CHECK(planned.tasks.at(2).unshare_flags == (kFiles | kFolders));
  CHECK(planned.tasks.at(3).clone_flags == (kFiles | kFolders));
  CHECK(planned.tasks.at(3).unshare_flags == 0);
  CHECK(planned.tasks.at(4).clone_flags == kFolders);
  CHECK(planned.tasks.at(4).unshare_flags == kFolders);
  CHECK(planned.tasks.at(5).clone_flags == kFolders);
}

TEST_CASE("sharing: what no order of forks recreates is found") {
  const Planned memory = plan({{1, 0, "a..."}, {2, 1, "...."}, {3, 2, "a..."}});
  REQUIRE(memory.conflicts.size() == 1);
  CHECK(memory.conflicts[0].pid == 3);
  CHECK(memory.conflicts[0].other == 1);
  CHECK(memory.conflicts[0].what == sharing::kMemory);
  // No process can be forked with two descriptor tables.
  const Planned crossed = plan(
      {{1, 0, "...."}, {2, 1, "...."}, {3, 1, "...."}, {4, 2, ".a.."}, {5, 2, ".b.."}, {6, 3, ".a.."}, {7, 3, ".b.."}});
  CHECK_FALSE(crossed.conflicts.empty());
}

TEST_CASE("sharing: lists that are no trees do no harm") {
  CHECK(plan({}).conflicts.empty());
  CHECK(plan({{1, 0, "abcd"}, {1, 7, "abcd"}, {0, 0, "...."}, {3, 3, "a..."}}).tasks.size() == 3);
}

}  // namespace
}  // namespace crx
