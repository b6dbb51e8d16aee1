#include "agent-src/freeze/guard.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "common/base/error.hpp"
#include "common/base/journal.hpp"
#include "common/base/log.hpp"
#include "common/kernel/process/freezer_group.hpp"
#include "common/kernel/sockets/packet_filter.hpp"
#include "common/session/source_session.hpp"

namespace crx {
namespace {

constexpr char kAllIsWell = '\0';

// Reads everything until the parent closes the pipe: the group's path, then kAllIsWell if the parent ends well.
std::string listen(int fd) {
  std::string heard;
  for (char buffer[4096];;) {
    const ssize_t n = ::read(fd, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return heard;
    heard.append(buffer, static_cast<std::size_t>(n));
  }
}

// The table that is to keep packets blocked after GO.
void remove_kept_table(const std::string& session) noexcept {
  try {
    PacketFilter().remove_table(kept_table_name(session));
  } catch (const std::exception& error) {
    log::debug("cannot remove the packet filter's table {}: {}", kept_table_name(session), error.what());
  }
}

int watch(int fd, const std::string& state_dir, const std::string& session) {
  ::setsid();
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGPIPE}) ::signal(signal, SIG_IGN);
  ::close_range(3, static_cast<unsigned>(fd) - 1, 0);
  ::close_range(static_cast<unsigned>(fd) + 1, ~0U, 0);
  const std::string path = listen(fd);
  if (path.empty() || path.back() == kAllIsWell) return 0;
  try {
    const auto records = read_journal(state_dir, session);
    if (!records.empty() && records.back().state == JournalState::go) return 0;
    remove_kept_table(session);
    const auto description = find_source_session(records);
    FreezerGroup::open_existing(path, description ? description->homes : std::map<pid_t, std::string>()).dissolve();
    std::fprintf(stderr, "crx-migrate: session %s was killed before it was decided; the process runs on here\n",
                 session.c_str());
  } catch (const std::exception& error) {
    log::error("cannot release the process from its frozen cgroup: {}", error.what());
  }
  return 0;
}

}  // namespace

Guard::Guard(std::string state_dir, std::string session) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) < 0) throw_errno("starting the guard", "pipe");
  Fd read_end(ends[0]);
  pipe_.reset(ends[1]);
  child_ = ChildProcess::fork("starting the guard", [&] {
    pipe_.reset();
    return watch(read_end.get(), state_dir, session);
  });
}

Guard::~Guard() {
  if (::write(pipe_.get(), &kAllIsWell, 1) < 0) log::debug("the guard process has ended before");
  pipe_.reset();
  child_.join();
}

void Guard::guard(const std::string& path) {
  if (::write(pipe_.get(), path.data(), path.size()) != static_cast<ssize_t>(path.size())) {
    throw_errno("starting the guard", "its pipe");
  }
}

}  // namespace crx
