#include "common/proc/proc_dir.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "common/base/error.hpp"
#include "common/proc/cgroup.hpp"
#include "common/proc/fdinfo.hpp"
#include "common/proc/maps.hpp"
#include "common/proc/stat.hpp"
#include "common/proc/status.hpp"
#include "common/proc/syscall.hpp"

namespace crx {
namespace {

template <typename List, typename Value>
bool contains(const List& list, const Value& value) {
  return std::find(list.begin(), list.end(), value) != list.end();
}

// A child that sleeps until it is killed.
class Sleeper {
 public:
  Sleeper() : pid_(::fork()) {
    if (pid_ != 0) return;
    for (;;) ::pause();
  }
  Sleeper(const Sleeper&) = delete;
  Sleeper& operator=(const Sleeper&) = delete;
  ~Sleeper() {
    if (pid_ <= 0) return;
    kill();
    reap();
  }
  pid_t pid() const { return pid_; }
  void kill() const {
    siginfo_t info{};
    if (::kill(pid_, SIGKILL) == 0) ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOWAIT);
  }
  // Its number may belong to another from then on.
  void reap() { ::waitpid(std::exchange(pid_, 0), nullptr, 0); }

 private:
  pid_t pid_;
};

}  // namespace

TEST_CASE("a process is described, and nothing of it is left when it has been reaped") {
  Sleeper child;
  const pid_t pid = child.pid();
  const std::optional<ProcDir> dir = ProcDir::open(pid);
  REQUIRE(dir);
  CHECK(dir->pid() == pid);
  CHECK(dir->comm() == ProcDir::open(::getpid())->comm());
  CHECK(dir->exe() == read_link("/proc/self/exe"));
  CHECK(dir->stat()->ppid == ::getpid());
  CHECK(dir->stat(pid)->pid == pid);
  CHECK(dir->status()->pid == pid);
  CHECK(dir->maps()->size() > 3);
  CHECK_FALSE(dir->cgroups()->empty());
  const Fd null = open_checked("/dev/null", O_RDONLY | O_APPEND);
  const std::optional<ProcDir> self = ProcDir::open(::getpid());
  CHECK(contains(*self->descriptors(), null.get()));
  CHECK(self->descriptor(null.get()) == "/dev/null");
  CHECK((self->fdinfo(null.get())->flags & O_APPEND) != 0);
  CHECK_FALSE(self->fdinfo(100'000));
  CHECK(contains(*self->children(), pid));
  CHECK(*dir->threads() == std::vector<pid_t>{pid});
  CHECK(dir->children()->empty());
  CHECK(contains(list_processes(), pid));
  CHECK(is_taken(pid));
  while (dir->stat()->state != 'S') ::usleep(1000);
  CHECK(dir->blocked_syscall(pid)->nr == SYS_pause);

  child.kill();
  CHECK(dir->stat()->state == 'Z');
  CHECK(dir->comm().has_value());
  CHECK_FALSE(dir->exe());
  CHECK(dir->maps().value_or(std::vector<proc::MapsEntry>()).empty());

  child.reap();
  CHECK_FALSE(dir->comm());
  CHECK_FALSE(dir->exe());
  CHECK_FALSE(dir->stat());
  CHECK_FALSE(dir->stat(pid));
  CHECK_FALSE(dir->status());
  CHECK_FALSE(dir->maps());
  CHECK_FALSE(dir->cgroups());
  CHECK_FALSE(dir->blocked_syscall(pid));
  CHECK_FALSE(dir->fdinfo(0));
  CHECK_FALSE(dir->descriptor(0));
  CHECK_FALSE(dir->descriptors());
  CHECK_FALSE(dir->threads());
  CHECK_FALSE(dir->children());
  CHECK_FALSE(ProcDir::open(pid));
  CHECK_FALSE(is_taken(pid));
  CHECK(comm_of(pid) == "?");
  CHECK_THROWS_AS(ProcDir::open_checked(pid), Error);
}

TEST_CASE("mappings that do not ascend are a value for those who can read again") {
  CHECK_FALSE(proc::try_parse_maps("2000-3000 rw-p 00000000 00:00 0\n1000-2000 rw-p 00000000 00:00 0\n"));
  CHECK(proc::try_parse_maps("1000-2000 rw-p 00000000 00:00 0\n2000-3000 rw-p 00000000 00:00 0\n")->size() == 2);
}

}  // namespace crx
