#include "agent-dst/files/proc_of_ended.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <string_view>
#include <utility>

#include "common/base/error.hpp"
#include "common/kernel/process/child_process.hpp"

namespace crx {
namespace {

constexpr char kProcOfEndedStep[] = "opening a file about an ended process";

// Forks a child that stands for the ended process, with its pid if that is free, else with another.
ChildProcess make_placeholder(pid_t wanted) {
  std::optional<ChildProcess> child = ChildProcess::try_fork_idle({.wanted_pid = wanted});
  if (!child && (errno == EEXIST || errno == EINVAL || errno == EPERM)) child = ChildProcess::try_fork_idle();
  if (!child) throw_errno(kProcOfEndedStep, "a process");
  return std::move(*child);
}

// The path with the pid replaced in "/proc/PID", or both ids in "/proc/PID/task/TID".
std::string path_about(pid_t number, const std::string& path) {
  constexpr std::string_view kProc = "/proc/", kTask = "/task/";
  if (!path.starts_with(kProc) || (path + "/").find("/../") != std::string::npos)
    throw Error(ErrorCode::corrupt_image, kProcOfEndedStep, path + " is not a file of /proc");
  std::size_t behind = std::min(path.find('/', kProc.size()), path.size());
  std::string about = fmt::format("/proc/{}", number);
  if (path.compare(behind, kTask.size(), kTask) == 0) {
    behind = std::min(path.find('/', behind + kTask.size()), path.size());
    about += fmt::format("/task/{}", number);
  }
  return about + path.substr(behind);
}

}  // namespace

Fd open_proc_of_ended(const std::string& path, int flags, uint64_t pos, pid_t ended) {
  const ChildProcess process = make_placeholder(ended);
  // Without the links of /proc/PID, which would lead to any file.
  const Fd found = try_find(AT_FDCWD, path_about(process.pid(), path));
  if (!found) throw_errno(kProcOfEndedStep, path);
  Fd file = open_checked(fmt::format("/proc/self/fd/{}", found.get()), flags);
  // A read fails with ESRCH at any position, so it does not matter if the seek fails.
  if (pos != 0) static_cast<void>(::lseek(file.get(), static_cast<off_t>(pos), SEEK_SET));
  return file;
}

}  // namespace crx
