#include "agent-dst/files/proc_of_ended.hpp"

#include <fmt/format.h>
#include <linux/sched.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <string_view>

#include "common/base/error.hpp"

namespace crx {
namespace {

constexpr char kStep[] = "opening a file about an ended process";

// A child that exists until this object is destroyed.
class PlaceholderProcess {
 public:
  explicit PlaceholderProcess(pid_t wanted) : pid_(make(wanted)) {
    if (pid_ < 0 && (errno == EEXIST || errno == EINVAL || errno == EPERM)) pid_ = make(0);
    if (pid_ < 0) throw_errno(kStep, "a process");
  }
  PlaceholderProcess(const PlaceholderProcess&) = delete;
  PlaceholderProcess& operator=(const PlaceholderProcess&) = delete;
  ~PlaceholderProcess() {
    ::kill(pid_, SIGKILL);
    static_cast<void>(::waitpid(pid_, nullptr, 0));
  }
  pid_t pid() const noexcept { return pid_; }

 private:
  static pid_t make(pid_t wanted) {
    clone_args args{};
    args.exit_signal = SIGCHLD;
    if (wanted > 0) {
      args.set_tid = reinterpret_cast<uint64_t>(&wanted);
      args.set_tid_size = 1;
    }
    const auto pid = static_cast<pid_t>(::syscall(SYS_clone3, &args, sizeof args));
    if (pid == 0) {
      for (;;) ::syscall(SYS_pause);
    }
    return pid;
  }

  pid_t pid_;
};

// The path with the pid replaced in "/proc/PID", or both ids in "/proc/PID/task/TID".
std::string path_about(pid_t number, const std::string& path) {
  constexpr std::string_view kProc = "/proc/", kTask = "/task/";
  if (!path.starts_with(kProc)) throw Error(ErrorCode::corrupt_image, kStep, path + " is not a file of /proc");
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
  const PlaceholderProcess process(ended);
  Fd file = open_checked(path_about(process.pid(), path), flags);
  // A read fails with ESRCH at any position, so it does not matter if the seek fails.
  if (pos != 0) static_cast<void>(::lseek(file.get(), static_cast<off_t>(pos), SEEK_SET));
  return file;
}

}  // namespace crx
