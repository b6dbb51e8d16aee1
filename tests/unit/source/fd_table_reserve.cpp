// The agent's descriptor table is large enough before the stop duplicates all descriptors of the tree.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent-src/freeze/fd_table_reserve.hpp"
#include "common/base/fd.hpp"

using namespace crx;

namespace {

constexpr rlim_t kOpen = 1500;

std::size_t table_size() {
  const std::string status = read_file("/proc/self/status");
  return std::stoul(status.substr(status.find("\nFDSize:") + 8));
}

}  // namespace

TEST_CASE("there is room for the duplicates of a tree's descriptors, above the soft limit, too") {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_max < 3 * kOpen) return;
  int ready[2], end[2];
  REQUIRE((::pipe(ready) == 0 && ::pipe(end) == 0));
  const pid_t many = ::fork();
  if (many == 0) {
    const rlimit enough{2 * kOpen, limit.rlim_max};
    ::setrlimit(RLIMIT_NOFILE, &enough);
    for (rlim_t i = 0; i < kOpen; ++i) static_cast<void>(::dup(0));
    ::close(end[1]);
    char byte = 0;
    static_cast<void>(::write(ready[1], &byte, 1));
    static_cast<void>(::read(end[0], &byte, 1));
    ::_exit(0);
  }
  char byte = 0;
  REQUIRE(::read(ready[0], &byte, 1) == 1);
  const rlimit low{256, limit.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &low) == 0);
  reserve_fd_table({many});
  CHECK(table_size() > kOpen);
  CHECK(Fd(::fcntl(0, F_DUPFD_CLOEXEC, static_cast<int>(kOpen))));
  ::close(end[1]);
  ::waitpid(many, nullptr, 0);
  ::setrlimit(RLIMIT_NOFILE, &limit);
}
