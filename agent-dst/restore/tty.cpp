// Pseudo-terminals: made under their old numbers, with their settings and what waits in them.
#include <asm/ioctls.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <map>
#include <memory>
#include <vector>

#include "agent-dst/restore/fd_restorer.hpp"
#include "common/base/error.hpp"
#include "common/image/magic.hpp"
#include "common/kernel/pidfd.hpp"
#include "common/kernel/pty.hpp"

namespace crx {
namespace {

constexpr char kStep[] = "restoring terminals";
constexpr uint32_t kMostIndex = 4096;
constexpr uint32_t kFlags = O_ACCMODE | O_NONBLOCK;
constexpr uint32_t kLargeFile = 0100000;  // O_LARGEFILE of the kernel

bool is_master(const img::tty_info_entry& info) {
  return info.type() == img::tty_info_entry::PTY && ::major(info.rdev()) == 5;
}

KernelTermios termios_of(const img::termios_entry& entry, uint32_t index) {
  KernelTermios termios{};
  if (entry.c_cc_size() > static_cast<int>(sizeof termios.c_cc) || entry.c_line() > 255) {
    throw Error(ErrorCode::corrupt_image, kStep, fmt::format("the settings of /dev/pts/{}", index));
  }
  termios.c_iflag = entry.c_iflag();
  termios.c_oflag = entry.c_oflag();
  termios.c_cflag = entry.c_cflag();
  termios.c_lflag = entry.c_lflag();
  termios.c_line = static_cast<unsigned char>(entry.c_line());
  termios.c_ispeed = entry.c_ispeed();
  termios.c_ospeed = entry.c_ospeed();
  for (int i = 0; i < entry.c_cc_size(); ++i) termios.c_cc[i] = static_cast<unsigned char>(entry.c_cc(i));
  return termios;
}

void request(int fd, unsigned long what, const void* argument, uint32_t index) {
  if (::ioctl(fd, what, argument) != 0) throw_errno(kStep, fmt::format("/dev/pts/{}", index));
}

// The terminal as /dev/tty leads to it: somebody has to have it as controlling terminal to open that. A child has it for
// a moment.
Fd open_as_tty(int slave, int flags, uint32_t index) {
  int answer[2], hold[2];
  if (::pipe2(answer, O_CLOEXEC) != 0) throw_errno(kStep, "pipe");
  const Fd answer_out(answer[0]);
  Fd answer_in(answer[1]);
  if (::pipe2(hold, O_CLOEXEC) != 0) throw_errno(kStep, "pipe");
  const Fd hold_out(hold[0]);
  Fd hold_in(hold[1]);
  const pid_t child = ::fork();
  if (child < 0) throw_errno(kStep, "fork");
  if (child == 0) {
    ::close(hold[1]);
    ::signal(SIGHUP, SIG_IGN);
    int fd = -1;
    if (::setsid() >= 0 && ::ioctl(slave, TIOCSCTTY, 0) == 0) fd = ::open("/dev/tty", flags | O_CLOEXEC);
    if (fd < 0) fd = -errno;
    char byte = 0;
    if (::write(answer[1], &fd, sizeof fd) == sizeof fd) static_cast<void>(::read(hold[0], &byte, 1));
    ::ioctl(slave, TIOCNOTTY);
    ::_exit(0);
  }
  answer_in.reset();
  int theirs = -EIO;
  Fd fd;
  if (::read(answer_out.get(), &theirs, sizeof theirs) == sizeof theirs && theirs >= 0) {
    fd = try_get_fd(open_pidfd(child).get(), theirs);
    if (!fd) theirs = -errno;
  }
  hold_in.reset();
  ::waitpid(child, nullptr, __WALL);
  if (!fd) throw_errno(kStep, fmt::format("/dev/pts/{} as /dev/tty", index), -theirs);
  return fd;
}

class Terminals final : public FdRestorer {
 public:
  const char* name() const override { return "terminals"; }
  bool matches(const img::file_entry& entry) const override { return entry.type() == img::TTY && entry.has_tty(); }

  Fd open(const img::file_entry& entry, FdRestoreContext& context) override {
    const std::string object = describe("terminal", entry.id(), context);
    const img::tty_info_entry& info = info_of(entry.tty().tty_info_id(), context);
    if (!info.has_pty() || info.pty().index() > kMostIndex) {
      throw Error(ErrorCode::unsupported, kStep, object + " is not a pseudo-terminal").with_hint("see --shell-job of crx-restore");
    }
    Pair& pair = made(info.pty().index(), context, object);
    const auto flags = static_cast<int>(entry.tty().flags() & kFlags);
    if (is_master(info)) {
      if (std::exchange(pair.given, true)) throw Error(ErrorCode::corrupt_image, kStep, object + " is a second master");
      Fd fd = duplicate(pair.master.get());
      set_status_flags(fd.get(), entry.tty().flags(), object);
      return fd;
    }
    if (info.type() == img::tty_info_entry::CTTY) return open_as_tty(pair.slave.get(), flags, pair.index);
    return open_slave(pair, flags, (entry.tty().flags() & kLargeFile) != 0);
  }

  // Now that every description is there: what would have kept us from opening them.
  void opened(FdRestoreContext&) override {
    constexpr int kOn = 1;
    for (auto& [index, pair] : pairs_) {
      if (pair.slave && pair.slave_info->exclusive()) request(pair.slave.get(), TIOCEXCL, nullptr, index);
      if (pair.master_info->exclusive()) request(pair.master.get(), TIOCEXCL, nullptr, index);
      if (pair.master_info->locked()) request(pair.master.get(), TIOCSPTLCK, &kOn, index);
      pair.slave.reset();
      if (pair.master_info->packet_mode()) request(pair.master.get(), TIOCPKT, &kOn, index);
    }
    pairs_.clear();
  }

 private:
  struct Pair {
    uint32_t index = 0;
    Fd master, slave;  // the slave: where it has ever been open
    const img::tty_info_entry* master_info = nullptr;
    const img::tty_info_entry* slave_info = nullptr;
    bool given = false;
  };

  const img::tty_info_entry& info_of(uint32_t id, FdRestoreContext& context) {
    if (infos_.empty()) {
      for (const auto& info : context.task.images.read_all<img::tty_info_entry>(image_file::kTtyInfo)) infos_[info.id()] = info;
      for (auto& data : context.task.images.read_all<img::tty_data_entry>(image_file::kTtyData)) data_[data.tty_id()] = data.data();
    }
    const auto found = infos_.find(id);
    if (found == infos_.end()) throw Error(ErrorCode::corrupt_image, kStep, fmt::format("terminal {} is not in tty-info.img", id));
    return found->second;
  }

  Pair& made(uint32_t index, FdRestoreContext& context, const std::string& object) {
    const auto [slot, is_new] = pairs_.try_emplace(index);
    Pair& pair = slot->second;
    if (!is_new) return pair;
    pair.index = index;
    for (const auto& [id, info] : infos_) {
      if (!info.has_pty() || info.pty().index() != index || info.type() != img::tty_info_entry::PTY) continue;
      (is_master(info) ? pair.master_info : pair.slave_info) = &info;
    }
    if (pair.master_info == nullptr || pair.slave_info == nullptr || !pair.slave_info->has_termios()) {
      throw Error(ErrorCode::refused, kStep, fmt::format("{}: the other end of /dev/pts/{} is not in the images", object, index))
          .with_hint("move the program that holds the other end along, or use --shell-job with crx-restore");
    }
    pair.master = open_master(index, path_of(*pair.master_info, context));
    constexpr int kOff = 0;
    request(pair.master.get(), TIOCSPTLCK, &kOff, index);
    if (pair.slave_info->has_dev()) {
      pair.slave = open_slave(pair, O_RDWR | O_NONBLOCK, false);
      set_owner(pair, context);
    }
    set_state(pair);
    return pair;
  }

  // open(2) marks what it opens, TIOCGPTPEER does not; that one would keep O_CLOEXEC among the status flags.
  static Fd open_slave(const Pair& pair, int flags, bool by_path) {
    const std::string path = fmt::format("/dev/pts/{}", pair.index);
    if (by_path) return open_checked(path, flags | O_NOCTTY);
    Fd fd(::ioctl(pair.master.get(), TIOCGPTPEER, flags | O_NOCTTY));
    if (!fd || ::fcntl(fd.get(), F_SETFD, FD_CLOEXEC) != 0) throw_errno(kStep, path);
    return fd;
  }

  // Numbers are given out from the lowest.
  static Fd open_master(uint32_t index, const char* path) {
    std::vector<Fd> lower;
    for (;;) {
      Fd fd = open_checked(path, O_RDWR | O_NOCTTY);
      unsigned number = 0;
      request(fd.get(), TIOCGPTN, &number, index);
      if (number == index) return fd;
      if (number > index) {
        throw Error(ErrorCode::refused, kStep, fmt::format("the terminal /dev/pts/{} is taken here", index))
            .with_hint("end the session that uses it, or move to another host");
      }
      lower.push_back(std::move(fd));
    }
  }

  // Where the program opened it.
  const char* path_of(const img::tty_info_entry& master, FdRestoreContext& context) const {
    for (const auto& [id, entry] : context.entries) {
      if (!matches(entry) || entry.tty().tty_info_id() != master.id() || !entry.tty().has_regf_id()) continue;
      if (context.task.files.entry(entry.tty().regf_id()).reg().name() == "/dev/pts/ptmx") return "/dev/pts/ptmx";
    }
    return "/dev/ptmx";
  }

  void set_owner(const Pair& pair, FdRestoreContext& context) const {
    const std::string path = fmt::format("/dev/pts/{}", pair.index);
    if (::fchown(pair.slave.get(), pair.slave_info->uid(), pair.slave_info->gid()) != 0) throw_errno(kStep, path);
    for (const auto& [id, entry] : context.entries) {
      if (!matches(entry) || entry.tty().tty_info_id() != pair.slave_info->id() || !entry.tty().has_regf_id()) continue;
      const img::reg_file_entry& reg = context.task.files.entry(entry.tty().regf_id()).reg();
      if (reg.has_mode() && ::fchmod(pair.slave.get(), reg.mode() & 0777) != 0) throw_errno(kStep, path);
      return;
    }
  }

  void set_state(const Pair& pair) const {
    const KernelTermios termios = termios_of(pair.slave_info->termios(), pair.index);
    const img::winsize_entry& window = pair.slave_info->winsize();
    const struct winsize size {
      static_cast<unsigned short>(window.ws_row()), static_cast<unsigned short>(window.ws_col()),
          static_cast<unsigned short>(window.ws_xpixel()), static_cast<unsigned short>(window.ws_ypixel())
    };
    request(pair.master.get(), TIOCSWINSZ, &size, pair.index);
    int failure = 0;
    if (pair.slave) {
      const auto content = std::make_unique<PtyContent>();
      load(content->input, pair.slave_info->id(), pair.index);
      load(content->output, pair.master_info->id(), pair.index);
      failure = fill_pty(pair.master.get(), pair.slave.get(), *content, termios);
    } else {
      failure = set_termios(pair.master.get(), termios);
    }
    if (failure != 0) throw_errno(kStep, fmt::format("/dev/pts/{}", pair.index), failure);
  }

  void load(PtyQueue& queue, uint32_t id, uint32_t index) const {
    const auto found = data_.find(id);
    if (found == data_.end()) return;
    if (found->second.size() > sizeof queue.bytes) {
      throw Error(ErrorCode::corrupt_image, kStep, fmt::format("what waits in /dev/pts/{} is too much", index));
    }
    queue.size = found->second.size();
    std::memcpy(queue.bytes, found->second.data(), queue.size);
  }

  std::map<uint32_t, img::tty_info_entry> infos_;
  std::map<uint32_t, std::string> data_;
  std::map<uint32_t, Pair> pairs_;
};

}  // namespace

FdRestorerPtr make_terminal_restorer() { return std::make_unique<Terminals>(); }

}  // namespace crx
