#include "agent-src/tree/terminals.hpp"

#include <asm/ioctls.h>
#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>

#include <charconv>
#include <cstring>
#include <memory>

#include "common/base/error.hpp"
#include "common/kernel/process/pidfd.hpp"

namespace crx {
namespace {

constexpr unsigned kPtsMajor = 136, kLastPtsMajor = 143, kAlternateMajor = 5;
constexpr unsigned kTty = 0, kConsole = 1, kPtmx = 2, kPrintk = 3;

std::string comm_of(pid_t pid) {
  try {
    std::string comm = read_file(fmt::format("/proc/{}/comm", pid));
    while (!comm.empty() && comm.back() == '\n') comm.pop_back();
    return comm;
  } catch (const Error&) {
    return "?";
  }
}

// Calls visit(number) for every entry of a directory whose name is a number, until visit returns true.
template <typename Visit>
bool any_number(const std::string& path, Visit visit) {
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(path.c_str()), &::closedir);
  while (const dirent* entry = dir ? ::readdir(dir.get()) : nullptr) {
    int number = 0;
    const char* end = entry->d_name + std::strlen(entry->d_name);
    if (std::from_chars(entry->d_name, end, number).ptr == end && visit(number)) return true;
  }
  return false;
}

// Returns a duplicate of our own descriptor, or of the running task's.
Fd door_to(const OpenFile& file) {
  if (file.own) return duplicate(file.own.get());
  return try_get_fd(open_pidfd(file.pid).get(), file.fd());
}

}  // namespace

bool is_terminal(dev_t device) {
  const unsigned number = ::major(device);
  return number == 3 || number == 4 || (number == kAlternateMajor && ::minor(device) != kPrintk) ||
         (number >= kPtsMajor && number <= kLastPtsMajor) || number == 188 || number == 204;
}

// Decodes the kernel's new_encode_dev(): minor in bits 0-7 and 20-31, major in bits 8-19.
dev_t terminal_device(int32_t tty_nr) {
  const auto number = static_cast<unsigned>(tty_nr);
  return ::makedev(number >> 8 & 0xfff, (number & 0xff) | (number >> 12 & 0xfff00));
}

Terminal terminal_of(dev_t device) {
  const unsigned number = ::major(device);
  if (number < kPtsMajor || number > kLastPtsMajor) return {};
  return {TerminalKind::slave, ::minor(device), false};
}

Terminal terminal_of(const OpenFile& file) {
  const dev_t device = file.st.st_rdev;
  if (::major(device) != kAlternateMajor) return terminal_of(device);
  if (::minor(device) == kPtmx) {
    if (file.info.tty_index) return {TerminalKind::master, static_cast<uint32_t>(*file.info.tty_index), false};
    return {};
  }
  if (::minor(device) != kTty && ::minor(device) != kConsole) return {};
  const Fd engine_pidfd = door_to(file);
  unsigned behind = 0;
  if (!engine_pidfd || ::ioctl(engine_pidfd.get(), TIOCGDEV, &behind) != 0) return {};
  Terminal terminal = terminal_of(terminal_device(static_cast<int32_t>(behind)));
  terminal.by_alias = true;
  return terminal;
}

std::string describe_master_holder(uint32_t index) {
  std::string found = "held by a process that cannot be seen from here";
  any_number("/proc", [&](int pid) {
    return any_number(fmt::format("/proc/{}/fd", pid), [&](int fd) {
      char target[32];
      const ssize_t size = ::readlink(fmt::format("/proc/{}/fd/{}", pid, fd).c_str(), target, sizeof target);
      const std::string_view link(target, size > 0 ? static_cast<std::size_t>(size) : 0);
      if (link != "/dev/ptmx" && link != "/dev/pts/ptmx") return false;
      try {
        const proc::Fdinfo info = proc::parse_fdinfo(read_file(fmt::format("/proc/{}/fdinfo/{}", pid, fd)));
        if (!info.tty_index || static_cast<uint32_t>(*info.tty_index) != index) return false;
      } catch (const Error&) {
        return false;
      }
      found = fmt::format("held by pid {} ({})", pid, comm_of(pid));
      return true;
    });
  });
  return found;
}

}  // namespace crx
