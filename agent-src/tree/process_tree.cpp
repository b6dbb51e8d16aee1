#include "agent-src/tree/process_tree.hpp"

#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <optional>
#include <utility>

#include "agent-src/tree/terminals.hpp"
#include "common/base/error.hpp"
#include "common/proc/proc_dir.hpp"
#include "common/proc/stat.hpp"

namespace crx {
namespace {

bool are_threads_ending(const ProcDir& process) {
  constexpr uint32_t kExiting = 0x4;  // PF_EXITING (include/linux/sched.h)
  constexpr uint64_t kKilled = uint64_t{1} << (SIGKILL - 1);
  for (const pid_t tid : process.threads().value_or(std::vector<pid_t>())) {
    const std::optional<proc::Stat> stat = process.stat(tid);
    if (stat && (stat->flags & kExiting) == 0 && (stat->signal & kKilled) == 0) return false;
  }
  return true;
}

}  // namespace

std::string last_born() {
  const std::string text = read_file("/proc/loadavg");
  return text.substr(text.rfind(' ') + 1);
}

bool descends_from(pid_t pid, const std::function<bool(pid_t)>& is_member) {
  constexpr int kMostGenerations = 64;
  for (int generation = 0; pid > 1 && generation < kMostGenerations; ++generation) {
    if (is_member(pid)) return true;
    TaskNode task;
    if (!try_read_task(pid, task)) return false;
    pid = task.ppid;
  }
  return false;
}

bool try_read_task(pid_t pid, TaskNode& task, ChildTraces* traces) {
  const std::optional<ProcDir> process = ProcDir::open(pid);
  const std::optional<proc::Stat> found = process ? process->stat() : std::nullopt;
  if (!found) return false;
  const proc::Stat& stat = *found;
  task.pid = pid;
  task.ppid = stat.ppid;
  task.pgid = std::max(stat.pgrp, 0);  // -1: the process is being reaped
  task.sid = std::max(stat.session, 0);
  task.dead = stat.state == 'Z' && stat.num_threads <= 1;
  task.exit_code = stat.exit_code;
  task.comm = stat.comm;
  task.exit_signal = stat.exit_signal >= 0 ? stat.exit_signal : SIGCHLD;
  task.start_ticks = stat.starttime;
  if (traces != nullptr)
    *traces = {stat.cminflt + stat.cmajflt, (stat.sigignore & (uint64_t{1} << (SIGCHLD - 1))) != 0};
  const Terminal terminal = stat.session == pid ? terminal_of(terminal_device(stat.tty_nr)) : Terminal();
  task.terminal = terminal.kind == TerminalKind::slave ? terminal.index + 1 : 0;
  return stat.state != 'X' && stat.state != 'x';
}

bool has_ended(const TaskNode& task) {
  TaskNode now;
  if (!try_read_task(task.pid, now) || now.dead || now.start_ticks != task.start_ticks) return true;
  return is_ending(task.pid);
}

bool is_ending(pid_t pid) {
  const std::optional<ProcDir> process = ProcDir::open(pid);
  return !process || are_threads_ending(*process);
}

std::vector<pid_t> list_threads(pid_t pid) {
  std::optional<std::vector<pid_t>> tids = ProcDir::open_checked(pid).threads();
  if (!tids) throw_gone(pid, "listing threads");
  return std::move(*tids);
}

std::vector<pid_t> list_children(pid_t pid) {
  const std::optional<ProcDir> process = ProcDir::open(pid);
  return process ? process->children().value_or(std::vector<pid_t>()) : std::vector<pid_t>();
}

TreeSnapshot list_tree(pid_t root) {
  TreeSnapshot tree;
  tree.last_born = last_born();
  tree.tasks.resize(1);
  if (!try_read_task(root, tree.tasks.front(), &tree.traces[root])) throw_gone(root, "listing the tree");
  for (std::size_t at = 0; at < tree.tasks.size(); ++at) {
    if (tree.tasks[at].dead) continue;
    for (const pid_t child : list_children(tree.tasks[at].pid)) {
      TaskNode task;
      ChildTraces traces;
      if (tree.traces.contains(child) || !try_read_task(child, task, &traces)) continue;
      tree.traces[child] = traces;
      tree.tasks.push_back(std::move(task));
    }
  }
  find_sharing(tree.tasks);
  return tree;
}

std::vector<SharingConflict> find_sharing(std::vector<TaskNode>& tree) {
  std::vector<pid_t> pids;
  std::vector<std::size_t> living;
  for (std::size_t i = 0; i < tree.size(); ++i) {
    tree[i].groups = {};
    if (tree[i].dead) continue;
    living.push_back(i);
    pids.push_back(tree[i].pid);
  }
  constexpr Shared kThings[] = {Shared::memory, Shared::descriptors, Shared::filesystem, Shared::signal_handlers};
  for (std::size_t kind = 0; kind < std::size(kThings); ++kind) {
    const std::vector<std::size_t> first = first_to_share(kThings[kind], pids);
    // Tasks that share an object get the number of the first of them.
    for (std::size_t i = 0; i < living.size(); ++i) tree[living[i]].groups[kind] = static_cast<uint32_t>(first[i] + 1);
  }
  return plan_sharing(tree);
}

std::vector<SharingConflict> sharing_conflicts(const std::vector<TaskNode>& tree) {
  std::vector<TaskNode> tasks = tree;
  return plan_sharing(tasks);
}

bool holds_caller(const std::vector<TaskNode>& tree) {
  return std::any_of(tree.begin(), tree.end(), [own = ::getpid()](const TaskNode& task) { return task.pid == own; });
}

}  // namespace crx
