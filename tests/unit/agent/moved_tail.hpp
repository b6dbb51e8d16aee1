// A small program to move, tail -f, which watches a file by inotify: on one kernel, its original has to end before it
// runs at the destination.
#pragma once

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <stdexcept>
#include <string>

#include "common/base/clock.hpp"
#include "common/base/fd.hpp"
#include "common/proc/stat.hpp"
#include "common/proc/status.hpp"

namespace crx::test {

// Waits for a child; returns false if it has not ended in time.
inline bool reap(pid_t pid, int& status, int64_t ms) {
  for (const Deadline deadline = Deadline::in_ms(ms); !deadline.passed(); ::usleep(1000)) {
    if (::waitpid(pid, &status, WNOHANG) != 0) return true;
  }
  return false;
}

// The output of this process, a child of a test that expects errors, goes nowhere from now on.
inline void be_silent() {
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  ::dup2(null, 1);
  ::dup2(null, 2);
}

class MovedTail {
 public:
  // file: what it watches; must exist.
  explicit MovedTail(const std::string& file) : pid_(::fork()) {
    if (pid_ == 0) run(file);
    const std::string inotify = "anon_inode:inotify";
    for (const Deadline deadline = Deadline::in_ms(10'000); !deadline.passed(); ::usleep(1000)) {
      for (const char* fd : {"3", "4", "5"}) {
        const auto link = try_read_link(AT_FDCWD, path("fd/") + fd);
        if (link == inotify && proc::parse_stat(read_file(path("stat"))).state == 'S') return;
      }
    }
    end();
    throw std::runtime_error("tail does not watch " + file);
  }
  ~MovedTail() { end(); }
  MovedTail(const MovedTail&) = delete;
  MovedTail& operator=(const MovedTail&) = delete;

  pid_t pid() const { return pid_; }
  // Whether it runs, as it did before.
  bool runs() const {
    const auto text = try_read_file(path("status"));
    if (!text) return false;
    const proc::Status status = proc::parse_status(*text);
    return (status.state == 'S' || status.state == 'R') && status.tracer_pid == 0;
  }
  // Its control groups and its mappings.
  std::string surroundings() const { return read_file(path("cgroup")) + read_file(path("maps")); }
  // Whether it has ended; reaps it.
  bool has_ended(int64_t ms = 10'000) {
    int status = 0;
    if (pid_ > 0 && reap(pid_, status, ms)) pid_ = 0;
    return pid_ == 0;
  }
  void end() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    int status = 0;
    ::waitpid(pid_, &status, 0);
    pid_ = 0;
  }

 private:
  std::string path(const char* name) const { return "/proc/" + std::to_string(pid_) + "/" + name; }
  [[noreturn]] static void run(const std::string& file) {
    ::setsid();
    const int null = ::open("/dev/null", O_RDWR);
    for (int fd = 0; fd < 3; ++fd) ::dup2(null, fd);
    ::close_range(3, ~0U, 0);
    ::execl("/usr/bin/tail", "tail", "-f", file.c_str(), nullptr);
    ::_exit(127);
  }

  pid_t pid_;
};

}  // namespace crx::test
