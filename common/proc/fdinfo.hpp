// Parses /proc/PID/fdinfo/FD (proc_pid_fdinfo(5); fs/proc/fd.c and the show_fdinfo function of each kind of file).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/proc/locks.hpp"

namespace crx::proc {

struct EventfdInfo {
  uint64_t count = 0;
  std::optional<int32_t> id;  // each eventfd's own; printed since Linux 5.1
  bool semaphore = false;     // EFD_SEMAPHORE; printed since Linux 6.5
};

// A descriptor that an epoll set watches, as epoll_ctl(2) added it.
struct EpollTarget {
  int32_t fd = 0;       // the number it was added under
  uint32_t events = 0;  // the number under which it was added
  uint64_t data = 0;
  int64_t pos = 0;
  uint64_t inode = 0;
  uint32_t sdev = 0;  // in the kernel's encoding: major << 20 | minor
};

struct TimerfdInfo {
  int32_t clock_id = 0;
  uint64_t ticks = 0;
  uint32_t settime_flags = 0;
  // The time left until it expires (both 0: disarmed), and the interval.
  int64_t value_sec = 0;
  int64_t value_nsec = 0;
  int64_t interval_sec = 0;
  int64_t interval_nsec = 0;
};

// struct file_handle (open_by_handle_at(2)); present when the filesystem supports handles.
struct FileHandle {
  int32_t type = 0;
  std::string bytes;
};

struct InotifyWatch {
  int32_t wd = 0;
  uint64_t inode = 0;
  uint32_t sdev = 0;
  uint32_t mask = 0;
  uint32_t ignored_mask = 0;
  std::optional<FileHandle> handle;
};

struct FanotifyInfo {
  uint32_t flags = 0;
  uint32_t event_flags = 0;
  struct Mark {
    std::optional<uint32_t> mount_id;  // set for a mark on a mount
    uint64_t inode = 0;
    uint32_t sdev = 0;
    uint32_t mark_flags = 0;
    uint32_t mask = 0;
    uint32_t ignored_mask = 0;
    std::optional<FileHandle> handle;
  };
  std::vector<Mark> marks;
};

struct PidfdInfo {
  int32_t pid = 0;  // in the reader's PID namespace; -1 once the task has ended, 0 when it is not visible there
  std::vector<int32_t> ns_pids;
};

struct Fdinfo {
  int64_t pos = 0;
  uint32_t flags = 0;  // the value of F_GETFL, with the descriptor's O_CLOEXEC
  int32_t mnt_id = 0;
  std::optional<uint64_t> inode;  // Linux 5.14
  std::optional<EventfdInfo> eventfd;
  std::vector<EpollTarget> epoll_targets;
  std::optional<TimerfdInfo> timerfd;
  std::optional<uint64_t> signalfd_mask;
  std::vector<InotifyWatch> inotify;
  std::optional<FanotifyInfo> fanotify;
  std::optional<PidfdInfo> pidfd;
  std::vector<Lock> locks;  // locks that this task took through this file, and locks of this open file description
  std::optional<int32_t> tty_index;
};

// Unknown lines are skipped. Throws Error(kernel) for a known line with an unexpected format.
Fdinfo parse_fdinfo(std::string_view text);

}  // namespace crx::proc
