// A process as /proc shows it, with "it is gone" as a value.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "common/base/fd.hpp"

namespace crx {

namespace proc {
struct Stat;
struct Status;
struct MapsEntry;
struct CgroupEntry;
struct Fdinfo;
struct BlockedSyscall;
}  // namespace proc

// A handle on /proc/PID (proc(5)), or on /proc/TID of a thread. It is bound to the process that was there when it was
// opened: once that has been reaped, everything is gone, also where the number belongs to another process by then.
//
// Each reading function gives nothing where the process, the thread or the descriptor is gone, and where we may not
// look (EACCES, EPERM: another user's process without CAP_SYS_PTRACE), which for processes outside of the tree is the
// same: nothing can be said about them. Other failures throw Error(kernel), as does text that cannot be parsed. The
// target notices nothing. Move-only; may be used by any thread.
class ProcDir {
 public:
  // Nothing when there is no such process. A zombie that has not been reaped is there.
  static std::optional<ProcDir> open(pid_t pid);
  // The same; throws Error(victim_gone).
  static ProcDir open_checked(pid_t pid);

  pid_t pid() const noexcept { return pid_; }
  // O_PATH, for calls that take a directory (fstatat(2), faccessat(2)).
  int fd() const noexcept { return directory_.get(); }

  // A file or link below it: "comm", "task/12/stat", "fd/3". Throws Error(refused) for one over `limit` bytes.
  std::optional<std::string> read(const std::string& name, std::size_t limit = std::size_t{64} << 20) const;
  std::optional<std::string> link(const std::string& name) const;

  // Without the newline.
  std::optional<std::string> comm() const;
  std::optional<std::string> exe() const;
  std::optional<proc::Stat> stat() const;
  std::optional<proc::Stat> stat(pid_t tid) const;
  std::optional<proc::Status> status() const;
  // Empty for a zombie, a kernel thread and a process that is ending.
  std::optional<std::vector<proc::MapsEntry>> maps() const;
  std::optional<std::vector<proc::CgroupEntry>> cgroups() const;
  // Where a thread sleeps; nothing for one that runs, too.
  std::optional<proc::BlockedSyscall> blocked_syscall(pid_t tid) const;
  std::optional<proc::Fdinfo> fdinfo(int number) const;
  // "pipe:[4711]", "/etc/passwd"
  std::optional<std::string> descriptor(int number) const;

  // The numbers of its descriptors, ascending.
  std::optional<std::vector<int>> descriptors() const;
  // TIDs in the kernel's order. Complete only while the threads are stopped.
  std::optional<std::vector<pid_t>> threads() const;
  // Children of all its threads in the kernel's order; complete only while it and its children are stopped
  // (/proc/PID/task/TID/children, proc(5)). A thread that ends meanwhile has none.
  std::optional<std::vector<pid_t>> children() const;

 private:
  ProcDir(pid_t pid, Fd directory) noexcept : pid_(pid), directory_(std::move(directory)) {}

  pid_t pid_;
  Fd directory_;
};

// All processes that can be seen from here, ascending. Those that end meanwhile may be in it.
std::vector<pid_t> list_processes();
// Whether a process or a thread has this number.
bool is_taken(pid_t number);
// For messages: the name of a process, "?" when it is gone.
std::string comm_of(pid_t pid);

}  // namespace crx
