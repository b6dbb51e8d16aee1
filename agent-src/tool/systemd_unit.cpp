#include "agent-src/tool/systemd_unit.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <optional>
#include <thread>
#include <vector>

#include "common/base/clock.hpp"
#include "common/base/error.hpp"
#include "common/base/fd.hpp"
#include "common/base/log.hpp"
#include "common/kernel/process/child_process.hpp"
#include "common/proc/cgroup.hpp"
#include "common/proc/proc_dir.hpp"

namespace crx {

const char kRestartRemedy[] =
    "use --unit stop to have the unit stopped when the program has moved, or --unit keep to leave it to systemd";

namespace {

constexpr int64_t kAnswerMs = 5'000;
constexpr std::size_t kMaxAnswer = 64 << 10;

// Runs systemctl and returns its output; nothing if it cannot be run, fails, or takes longer than kAnswerMs.
std::optional<std::string> run_systemctl(const SystemdUnit& unit, std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "systemctl");
  if (unit.user) arguments.insert(arguments.begin() + 1, "--user");
  arguments.insert(arguments.end(), {"--", unit.name});
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  int ends[2] = {-1, -1};
  if (::pipe2(ends, O_CLOEXEC) != 0) throw_errno("asking systemd", "pipe");
  const Fd from(ends[0]);
  Fd to(ends[1]);
  posix_spawn_file_actions_t files;
  ::posix_spawn_file_actions_init(&files);
  ::posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_adddup2(&files, to.get(), STDOUT_FILENO);
  ::posix_spawn_file_actions_addopen(&files, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  pid_t pid = 0;
  const int failed = ::posix_spawnp(&pid, "systemctl", &files, nullptr, argv.data(), environ);
  ::posix_spawn_file_actions_destroy(&files);
  to.reset();
  if (failed != 0) return std::nullopt;
  ChildProcess child = ChildProcess::adopt(pid);
  const Deadline deadline = Deadline::in_ms(kAnswerMs);
  std::string text;
  char piece[4096];
  bool whole = false;
  for (pollfd readable{from.get(), POLLIN, 0}; !whole && ::poll(&readable, 1, deadline.poll_ms()) > 0;) {
    const ssize_t got = ::read(from.get(), piece, sizeof piece);
    if (got > 0) text.append(piece, static_cast<std::size_t>(got));
    whole = got <= 0 || text.size() > kMaxAnswer;
  }
  if (!whole || !child.wait().succeeded()) return std::nullopt;
  return text;
}

std::optional<SystemdUnit> unit_of(pid_t pid) {
  const std::optional<ProcDir> process = ProcDir::open(pid);
  const auto members = process ? process->cgroups() : std::nullopt;
  for (const proc::CgroupEntry& member : members.value_or(std::vector<proc::CgroupEntry>())) {
    if (!member.is_v2() && !member.has("name=systemd")) continue;
    if (auto unit = unit_of_path(member.path)) return unit;
  }
  return std::nullopt;
}

}  // namespace

std::optional<SystemdUnit> unit_of_path(std::string_view path) {
  std::optional<SystemdUnit> unit;
  bool below_user = false;
  while (!path.empty()) {
    const std::string_view name = path.substr(0, path.find('/'));
    path.remove_prefix(std::min(path.size(), name.size() + 1));
    if (!name.ends_with(".service") || name.size() > 255) continue;
    if (unit && unit->name.starts_with("user@")) below_user = true;
    unit.emplace();
    unit->name = name;
    unit->user = below_user;
  }
  return unit;
}

void read_properties(std::string_view text, SystemdUnit& unit) {
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    if (line.starts_with("MainPID=")) std::from_chars(line.data() + 8, line.data() + line.size(), unit.main_pid);
    if (line.starts_with("Restart=")) unit.restart = line.substr(8);
  }
}

std::optional<SystemdUnit> find_restarting_unit(const std::vector<TaskNode>& tree) {
  std::vector<std::string> asked;
  for (const TaskNode& task : tree) {
    std::optional<SystemdUnit> unit = unit_of(task.pid);
    if (!unit || std::find(asked.begin(), asked.end(), unit->name) != asked.end()) continue;
    asked.push_back(unit->name);
    const auto answer = run_systemctl(*unit, {"show", "-p", "MainPID", "-p", "Restart"});
    if (!answer) {
      log::info("process {} belongs to {}, but systemctl does not answer for this unit", task.pid, unit->name);
      continue;
    }
    read_properties(*answer, *unit);
    const bool inside =
        std::any_of(tree.begin(), tree.end(), [&](const TaskNode& t) { return t.pid == unit->main_pid; });
    if (inside && !unit->restart.empty() && unit->restart != "no") return unit;
  }
  return std::nullopt;
}

std::string restart_reason(const SystemdUnit& unit) {
  return fmt::format("is the main process of {}, which starts it again here when it has moved (Restart={})", unit.name,
                     unit.restart);
}

void stop_unit(const SystemdUnit& unit) noexcept {
  try {
    if (!run_systemctl(unit, {"stop", "--no-block"})) {
      log::warn("cannot stop {}; stop it by hand (systemctl stop), otherwise it starts the program again", unit.name);
      return;
    }
    const Deadline deadline = Deadline::in_ms(kAnswerMs);
    while (!deadline.passed()) {
      const auto state = run_systemctl(unit, {"show", "-p", "ActiveState"});
      if (!state || state->find("ActiveState=active") == std::string::npos) return;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    log::warn("systemd does not report {} as stopped yet", unit.name);
  } catch (const std::exception& error) {
    log::warn("cannot stop {}: {}", unit.name, error.what());
  }
}

void forget_failure(const SystemdUnit& unit) noexcept {
  try {
    const Deadline deadline = Deadline::in_ms(kAnswerMs);
    for (; !deadline.passed(); std::this_thread::sleep_for(std::chrono::milliseconds(5))) {
      const auto state = run_systemctl(unit, {"show", "-p", "ActiveState"});
      if (!state || state->find("ActiveState=inactive") != std::string::npos) return;
      if (state->find("ActiveState=failed") == std::string::npos) continue;
      if (run_systemctl(unit, {"reset-failed"})) return;
      break;
    }
    log::warn("{} counts as failed, although its program has moved; systemctl reset-failed ends that", unit.name);
  } catch (const std::exception& error) {
    log::warn("cannot reset the failure of {}: {}", unit.name, error.what());
  }
}

}  // namespace crx
