#include "agent-dst/objects/pty_table.hpp"

#include <asm/ioctls.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <vector>

#include "common/base/error.hpp"

namespace crx {
namespace {

constexpr char kPtyTableStep[] = "restoring terminals";
constexpr uint32_t kMostIndex = 4096;

std::string name_of(uint32_t index) {
  return fmt::format("/dev/pts/{}", index);
}

// Creates the master with the number `index`. The kernel always assigns the lowest free number, so masters with lower
// numbers are opened and closed again.
Fd make_master(uint32_t index) {
  if (index > kMostIndex) throw Error(ErrorCode::unsupported, kPtyTableStep, name_of(index) + " has too high a number");
  std::vector<Fd> lower;
  for (;;) {
    Fd fd = open_checked("/dev/ptmx", O_RDWR | O_NOCTTY);
    unsigned number = 0;
    if (::ioctl(fd.get(), TIOCGPTN, &number) != 0) throw_errno(kPtyTableStep, name_of(index));
    if (number == index) return fd;
    if (number > index) {
      throw Error(ErrorCode::refused, kPtyTableStep, fmt::format("the terminal {} is taken here", name_of(index)))
          .with_hint("end the session that uses it, or move to another host");
    }
    lower.push_back(std::move(fd));
  }
}

}  // namespace

int PtyTable::master(uint32_t index) {
  Pair& pair = pairs_[index];
  if (pair.master) return pair.master.get();
  pair.master = make_master(index);
  const int off = 0;
  if (::ioctl(pair.master.get(), TIOCSPTLCK, &off) != 0) throw_errno(kPtyTableStep, name_of(index));
  return pair.master.get();
}

int PtyTable::slave(uint32_t index) {
  Fd& fd = pairs_[index].slave;
  if (!fd) fd = open_slave(index, O_RDWR | O_NONBLOCK, false);
  return fd.get();
}

// O_CLOEXEC is not passed to TIOCGPTPEER, which would keep it among the status flags.
Fd PtyTable::open_slave(uint32_t index, int flags, bool by_path) {
  const int end = master(index);
  if (by_path) return open_checked(name_of(index), flags | O_NOCTTY);
  Fd fd(::ioctl(end, TIOCGPTPEER, flags | O_NOCTTY));
  if (!fd || ::fcntl(fd.get(), F_SETFD, FD_CLOEXEC) != 0) throw_errno(kPtyTableStep, name_of(index));
  return fd;
}

void PtyTable::use_callers() {
  callers_ = try_open("/dev/tty", O_RDWR | O_NOCTTY | O_NONBLOCK);
  if (callers_) return;
  throw Error(ErrorCode::refused, kPtyTableStep, "there is no terminal here that the program could have", errno)
      .with_hint("run crx-restore --shell-job from a shell in a terminal");
}

Fd PtyTable::open_callers(int flags, bool by_alias) const {
  if (!callers_) {
    throw Error(ErrorCode::refused, kPtyTableStep, "the other end of a terminal is not in the images")
        .with_hint("use --shell-job with crx-restore, to give the program the terminal you are at");
  }
  if (by_alias) return open_checked("/dev/tty", flags | O_NOCTTY);
  // /dev/tty does not reveal the name of its terminal; a standard descriptor does, where it is the same terminal.
  unsigned device = 0;
  if (::ioctl(callers_.get(), TIOCGDEV, &device) != 0) throw_errno(kPtyTableStep, "/dev/tty");
  for (int number = 0; number < 3; ++number) {
    unsigned other = 0;
    if (::ioctl(number, TIOCGDEV, &other) != 0 || other != device) continue;
    return open_checked(fmt::format("/proc/self/fd/{}", number), flags | O_NOCTTY);
  }
  const unsigned minor = (device & 0xff) | (device >> 12 & 0xfff00);
  return open_checked(name_of(minor), flags | O_NOCTTY);
}

}  // namespace crx
