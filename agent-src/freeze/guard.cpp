#include "agent-src/freeze/guard.hpp"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "common/base/clock.hpp"
#include "common/base/error.hpp"
#include "common/base/journal.hpp"
#include "common/base/log.hpp"
#include "common/kernel/process/pidfd.hpp"

namespace crx {
namespace {

constexpr char kAllIsWell = '\0';

void close_all_but(int one, int other) {
  const auto [low, high] = std::minmax(static_cast<unsigned>(one), static_cast<unsigned>(other));
  ::close_range(3, low - 1, 0);
  ::close_range(low + 1, high - 1, 0);
  ::close_range(high + 1, ~0U, 0);
}

// Returns whether the parent ends well: it says so before the pipe is closed.
bool ends_well(int fd) {
  for (char heard = 1;;) {
    const ssize_t n = ::read(fd, &heard, 1);
    if (n < 0 && errno == EINTR) continue;
    return n == 1 && heard == kAllIsWell;
  }
}

bool is_open(const std::string& state_dir, const std::string& session) {
  const auto records = read_journal(state_dir, session);
  return !records.empty() && records.back().state == JournalState::open;
}

// parent: its pidfd. Its end of the pipe is closed before its ptrace stops end.
int watch(int fd, int parent, const std::string& state_dir, const std::string& session,
          const std::function<void()>& settle) {
  ::setsid();
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGPIPE}) ::signal(signal, SIG_IGN);
  close_all_but(fd, parent);
  if (ends_well(fd)) return 0;
  static_cast<void>(wait_exit(parent, Deadline::never()));
  try {
    if (!is_open(state_dir, session)) return 0;
    settle();
    std::fprintf(stderr, "crx-migrate: session %s was killed before it was decided; the process runs on here\n",
                 session.c_str());
  } catch (const std::exception& error) {
    log::error("session {}: {}", session, error.what());
  }
  return 0;
}

}  // namespace

Guard::Guard(std::string state_dir, std::string session, std::function<void()> settle) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) < 0) throw_errno("starting the guard", "pipe");
  Fd read_end(ends[0]);
  pipe_.reset(ends[1]);
  const Fd parent = open_pidfd(::getpid());
  child_ = ChildProcess::fork("starting the guard", [&] {
    pipe_.reset();
    return watch(read_end.get(), parent.get(), state_dir, session, settle);
  });
}

Guard::~Guard() {
  if (::write(pipe_.get(), &kAllIsWell, 1) < 0) log::debug("the guard process has ended before");
  pipe_.reset();
  child_.join();
}

}  // namespace crx
