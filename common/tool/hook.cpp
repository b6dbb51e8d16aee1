#include "common/tool/hook.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <spawn.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <vector>

#include "common/base/clock.hpp"
#include "common/base/error.hpp"
#include "common/base/fd.hpp"
#include "common/base/log.hpp"
#include "common/base/scope_exit.hpp"
#include "common/kernel/process/child_process.hpp"

namespace crx {
namespace {

std::vector<std::string> environment(HookStage stage, const HookContext& context) {
  std::vector<std::string> all;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const bool ours = text.starts_with("CRX_STAGE=") || text.starts_with("CRX_SESSION=") ||
                      text.starts_with("CRX_PID=") || text.starts_with("CRX_PEER=") || text.starts_with("CRX_ROLE=");
    if (!ours) all.emplace_back(text);
  }
  all.push_back("CRX_STAGE=" + std::string(to_string(stage)));
  all.push_back("CRX_SESSION=" + context.session);
  if (context.pid != 0) all.push_back("CRX_PID=" + std::to_string(context.pid));
  all.push_back("CRX_PEER=" + context.peer);
  all.push_back("CRX_ROLE=" + context.role);
  return all;
}

ChildProcess start(const std::string& command, std::vector<std::string> env) {
  posix_spawn_file_actions_t files;
  posix_spawnattr_t attr;
  ::posix_spawn_file_actions_init(&files);
  ::posix_spawnattr_init(&attr);
  const ScopeExit cleanup([&] {
    ::posix_spawn_file_actions_destroy(&files);
    ::posix_spawnattr_destroy(&attr);
  });
  ::posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  // Our stdout carries results for scripts to read, so the output of the command, which is for people, goes to stderr.
  ::posix_spawn_file_actions_adddup2(&files, STDERR_FILENO, STDOUT_FILENO);
  sigset_t none;
  sigset_t defaults;
  ::sigemptyset(&none);
  ::sigfillset(&defaults);
  ::posix_spawnattr_setsigmask(&attr, &none);
  ::posix_spawnattr_setsigdefault(&attr, &defaults);
  ::posix_spawnattr_setpgroup(&attr, 0);
  ::posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);

  std::string shell = "sh";
  std::string flag = "-c";
  std::string text = command;
  const std::array<char*, 4> argv = {shell.data(), flag.data(), text.data(), nullptr};
  std::vector<char*> envp;
  envp.reserve(env.size() + 1);
  for (std::string& entry : env) envp.push_back(entry.data());
  envp.push_back(nullptr);
  pid_t pid = 0;
  const int err = ::posix_spawn(&pid, "/bin/sh", &files, &attr, argv.data(), envp.data());
  if (err != 0) throw Error(ErrorCode::refused, "running the hook", "/bin/sh", err);
  return ChildProcess::adopt(pid);
}

// Waits for the command and returns its status, or nothing when the deadline passed. The command's process group has
// ended or been killed when this returns.
std::optional<ChildStatus> wait_for(ChildProcess command, Deadline deadline) {
  std::optional<ChildStatus> status = command.wait_until(deadline);
  if (!status) ::kill(-command.pid(), SIGKILL);
  return status;
}

}  // namespace

std::string_view to_string(HookStage stage) {
  switch (stage) {
    case HookStage::pre_freeze:
      return "pre-freeze";
    case HookStage::frozen:
      return "frozen";
    case HookStage::prepared:
      return "prepared";
    case HookStage::committed:
      return "committed";
    case HookStage::resumed:
      return "resumed";
    case HookStage::aborted:
      return "aborted";
  }
  return "unknown";
}

void Hook::run(HookStage stage, const HookContext& context) const {
  if (command_.empty()) return;
  const std::optional<ChildStatus> status =
      wait_for(start(command_, environment(stage, context)), Deadline::in_ms(timeout_ms_));
  if (status && status->succeeded()) return;
  std::string how;
  if (!status) {
    how = fmt::format("did not end within {} ms and was killed", timeout_ms_);
  } else if (status->killed()) {
    how = fmt::format("was killed by signal {} ({})", status->signal(), ::strsignal(status->signal()));
  } else {
    how = fmt::format("exited with status {}", status->code());
  }
  throw Error(ErrorCode::refused, fmt::format("running the hook at {}", to_string(stage)),
              fmt::format("'{}' {}", command_, how))
      .with_hint("the hook decides whether the migration continues: make it exit with 0, or omit --hook");
}

bool Hook::run_noting(HookStage stage, const HookContext& context) const noexcept {
  try {
    run(stage, context);
    return true;
  } catch (const std::exception& error) {
    log::warn("{}", error.what());
    return false;
  }
}

}  // namespace crx
