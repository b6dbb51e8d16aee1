#include "agent-src/tree/terminals.hpp"

#include <asm/ioctls.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>

#include <optional>
#include <vector>

#include "common/base/error.hpp"
#include "common/kernel/process/pidfd.hpp"
#include "common/proc/proc_dir.hpp"

namespace crx {
namespace {

constexpr unsigned kPtsMajor = 136, kLastPtsMajor = 143, kAlternateMajor = 5;
constexpr unsigned kTty = 0, kConsole = 1, kPtmx = 2, kPrintk = 3;

// Returns a duplicate of our own descriptor, or of the running task's.
Fd duplicate_of(const OpenFile& file) {
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
  const Fd fd = duplicate_of(file);
  unsigned behind = 0;
  if (!fd || ::ioctl(fd.get(), TIOCGDEV, &behind) != 0) return {};
  Terminal terminal = terminal_of(terminal_device(static_cast<int32_t>(behind)));
  terminal.by_alias = true;
  return terminal;
}

bool has_master(pid_t pid, uint32_t index) {
  const std::optional<ProcDir> process = ProcDir::open(pid);
  if (!process) return false;
  for (const int fd : process->descriptors().value_or(std::vector<int>())) {
    const std::string link = process->descriptor(fd).value_or("");
    if (link != "/dev/ptmx" && link != "/dev/pts/ptmx") continue;
    const std::optional<proc::Fdinfo> info = process->fdinfo(fd);
    if (info && info->tty_index && static_cast<uint32_t>(*info->tty_index) == index) return true;
  }
  return false;
}

std::string describe_master_holder(uint32_t index) {
  for (const pid_t pid : list_processes()) {
    if (has_master(pid, index)) return fmt::format("held by pid {} ({})", pid, comm_of(pid));
  }
  return "held by a process that cannot be seen from here";
}

}  // namespace crx
