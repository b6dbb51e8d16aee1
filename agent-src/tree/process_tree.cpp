#include "agent-src/tree/process_tree.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <iterator>
#include <set>

#include "agent-src/tree/terminals.hpp"
#include "common/base/error.hpp"
#include "common/base/fd.hpp"
#include "common/proc/stat.hpp"

namespace crx {
namespace {

// Reads a file of a process that may end at any moment; empty if it has.
std::string try_read(const std::string& path) {
  const Fd file = try_open(path, O_RDONLY);
  if (!file) return {};
  try {
    return read_fd(file.get(), path);
  } catch (const Error&) {
    return {};
  }
}

// Whether all threads of the process are exiting, or are about to.
bool is_ending(pid_t pid) {
  constexpr uint32_t kExiting = 0x4;  // PF_EXITING (include/linux/sched.h)
  constexpr uint64_t kKilled = uint64_t{1} << (SIGKILL - 1);
  for (const pid_t tid : list_threads(pid)) {
    const std::string text = try_read(fmt::format("/proc/{}/task/{}/stat", pid, tid));
    if (text.empty()) continue;
    const proc::Stat stat = proc::parse_stat(text);
    if ((stat.flags & kExiting) == 0 && (stat.signal & kKilled) == 0) return false;
  }
  return true;
}

std::vector<SharingTask> sharing_of(const std::vector<TaskNode>& tree) {
  std::vector<SharingTask> tasks;
  for (const TaskNode& task : tree) {
    SharingTask& sharing = tasks.emplace_back();
    sharing.pid = task.pid;
    sharing.ppid = task.ppid;
    sharing.dead = task.dead;
    sharing.groups = task.groups;
  }
  return tasks;
}

}  // namespace

bool try_read_task(pid_t pid, TaskNode& task) {
  const std::string text = try_read(fmt::format("/proc/{}/stat", pid));
  if (text.empty()) return false;
  const proc::Stat stat = proc::parse_stat(text);
  task.pid = pid;
  task.ppid = stat.ppid;
  task.pgid = stat.pgrp;
  task.sid = stat.session;
  task.dead = stat.state == 'Z' && stat.num_threads <= 1;
  task.exit_code = stat.exit_code;
  task.comm = stat.comm;
  task.exit_signal = stat.exit_signal;
  task.start_ticks = stat.starttime;
  task.child_faults = stat.cminflt + stat.cmajflt;
  task.ignores_children = (stat.sigignore & (uint64_t{1} << (SIGCHLD - 1))) != 0;
  const Terminal terminal = stat.session == pid ? terminal_of(terminal_device(stat.tty_nr)) : Terminal();
  task.terminal = terminal.kind == TerminalKind::slave ? terminal.index + 1 : 0;
  return stat.state != 'X' && stat.state != 'x';
}

bool has_ended(const TaskNode& task) {
  TaskNode now;
  if (!try_read_task(task.pid, now) || now.dead || now.start_ticks != task.start_ticks) return true;
  try {
    return is_ending(task.pid);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::victim_gone) throw;
    return true;
  }
}

std::vector<pid_t> list_threads(pid_t pid) {
  const std::string path = fmt::format("/proc/{}/task", pid);
  std::vector<pid_t> tids;
  DIR* dir = ::opendir(path.c_str());
  if (dir == nullptr) throw_errno("listing threads", path, errno == ENOENT ? ESRCH : errno);
  while (const dirent* entry = ::readdir(dir)) {
    const int tid = std::atoi(entry->d_name);
    if (tid > 0) tids.push_back(tid);
  }
  ::closedir(dir);
  return tids;
}

std::vector<pid_t> list_children(pid_t pid) {
  std::vector<pid_t> children;
  std::vector<pid_t> threads;
  try {
    threads = list_threads(pid);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::victim_gone) throw;
  }
  for (const pid_t tid : threads) {
    const std::string list = try_read(fmt::format("/proc/{}/task/{}/children", pid, tid));
    for (const char *at = list.data(), *end = at + list.size(); at < end;) {
      pid_t child = 0;
      const auto [next, fault] = std::from_chars(at, end, child);
      if (fault != std::errc()) break;
      children.push_back(child);
      at = next + 1;
    }
  }
  return children;
}

std::vector<TaskNode> list_tree(pid_t root) {
  std::vector<TaskNode> tree(1);
  if (!try_read_task(root, tree.front())) throw_gone(root, "listing the tree");
  std::set<pid_t> known = {root};
  for (std::size_t at = 0; at < tree.size(); ++at) {
    if (tree[at].dead) continue;
    for (const pid_t child : list_children(tree[at].pid)) {
      TaskNode task;
      if (!known.insert(child).second || !try_read_task(child, task)) continue;
      tree.push_back(std::move(task));
    }
  }
  find_sharing(tree);
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
  std::vector<SharingTask> tasks = sharing_of(tree);
  std::vector<SharingConflict> conflicts = plan_sharing(tasks);
  for (std::size_t i = 0; i < tree.size(); ++i) {
    tree[i].cloner = tasks[i].cloner;
    tree[i].clone_flags = tasks[i].clone_flags;
    tree[i].unshare_flags = tasks[i].unshare_flags;
  }
  return conflicts;
}

std::vector<SharingConflict> sharing_conflicts(const std::vector<TaskNode>& tree) {
  std::vector<SharingTask> tasks = sharing_of(tree);
  return plan_sharing(tasks);
}

bool holds_caller(const std::vector<TaskNode>& tree) {
  return std::any_of(tree.begin(), tree.end(), [own = ::getpid()](const TaskNode& task) { return task.pid == own; });
}

}  // namespace crx
