// Pseudo-terminals: made under their old numbers, with their settings and queued content.
#include <asm/ioctls.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <set>

#include "agent-dst/restore/kind/fd_restorer.hpp"
#include "common/base/error.hpp"
#include "common/image/magic.hpp"
#include "common/kernel/ipc/pty.hpp"

namespace crx {
namespace {

constexpr char kTtyStep[] = "restoring terminals";
constexpr uint32_t kFlags = O_ACCMODE | O_NONBLOCK;
constexpr uint32_t kLargeFile = 0100000;  // O_LARGEFILE of the kernel

bool is_master(const img::tty_info_entry& info) {
  return info.type() == img::tty_info_entry::PTY && ::major(info.rdev()) == 5;
}

KernelTermios termios_of(const img::termios_entry& entry, uint32_t index) {
  KernelTermios termios{};
  if (entry.c_cc_size() > static_cast<int>(sizeof termios.c_cc) || entry.c_line() > 255) {
    throw Error(ErrorCode::corrupt_image, kTtyStep, fmt::format("the settings of /dev/pts/{}", index));
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
  if (::ioctl(fd, what, argument) != 0) throw_errno(kTtyStep, fmt::format("/dev/pts/{}", index));
}

class Terminals final : public FdRestorer {
 public:
  const char* name() const override { return "terminals"; }
  bool matches(const img::file_entry& entry) const override { return entry.type() == img::TTY && entry.has_tty(); }

  Fd open(const img::file_entry& entry, FdRestoreContext& context) override {
    const std::string object = describe("terminal", entry.id(), context);
    const img::tty_info_entry& info = info_of(entry.tty().tty_info_id(), context);
    if (!info.has_pty()) throw Error(ErrorCode::unsupported, kTtyStep, object + " is not a pseudo-terminal");
    PtyTable& ptys = context.task.shmem.ptys();
    const auto flags = static_cast<int>(entry.tty().flags() & kFlags);
    const bool by_alias = info.type() == img::tty_info_entry::CTTY;
    if (has_lost_master(entry, context)) return open_orphaned(entry, info, context);
    const Pair& pair = made(info.pty().index(), context);
    if (pair.master_info == nullptr) return open_callers(info, flags, by_alias, ptys);
    if (is_master(info)) {
      if (std::exchange(pairs_.at(pair.index).given, true))
        throw Error(ErrorCode::corrupt_image, kTtyStep, object + " is a second master");
      Fd fd = duplicate(ptys.master(pair.index));
      set_status_flags(fd.get(), entry.tty().flags(), object);
      return fd;
    }
    if (by_alias) return open_alias(*pair.slave_info, flags, context);
    return ptys.open_slave(pair.index, flags, (entry.tty().flags() & kLargeFile) != 0);
  }

  // All descriptions are open now, so the settings that would have prevented that can be made.
  void opened(FdRestoreContext& context) override {
    constexpr int kOn = 1;
    PtyTable& ptys = context.task.shmem.ptys();
    for (auto& [index, pair] : pairs_) {
      if (pair.master_info == nullptr) continue;
      const Fd master = duplicate(ptys.master(index));
      if (pair.slave_info->has_dev() && pair.slave_info->exclusive())
        request(ptys.slave(index), TIOCEXCL, nullptr, index);
      if (pair.master_info->exclusive()) request(master.get(), TIOCEXCL, nullptr, index);
      if (pair.master_info->locked()) request(master.get(), TIOCSPTLCK, &kOn, index);
      ptys.drop(index);
      if (pair.master_info->packet_mode()) request(master.get(), TIOCPKT, &kOn, index);
    }
    pairs_.clear();
    for (const uint32_t index : orphaned_) ptys.drop(index);
    orphaned_.clear();
  }

 private:
  struct Pair {
    uint32_t index = 0;
    const img::tty_info_entry* master_info = nullptr;  // nullptr: the other end is not in the images
    const img::tty_info_entry* slave_info = nullptr;
    bool given = false;
  };

  const img::tty_info_entry& info_of(uint32_t id, FdRestoreContext& context) {
    if (infos_.empty()) {
      for (const auto& info : context.task.images.read_all<img::tty_info_entry>(image_file::kTtyInfo))
        infos_[info.id()] = info;
      for (auto& data : context.task.images.read_all<img::tty_data_entry>(image_file::kTtyData))
        data_[data.tty_id()] = data.data();
    }
    const auto found = infos_.find(id);
    if (found == infos_.end())
      throw Error(ErrorCode::corrupt_image, kTtyStep, fmt::format("terminal {} is not in it", id))
          .with_image(std::string(image_file::kTtyInfo));
    return found->second;
  }

  const Pair& made(uint32_t index, FdRestoreContext& context) {
    context.task.follow_image(image_file::kTtyInfo);
    const auto [slot, is_new] = pairs_.try_emplace(index);
    Pair& pair = slot->second;
    if (!is_new) return pair;
    pair.index = index;
    for (const auto& [id, info] : infos_) {
      if (!info.has_pty() || info.pty().index() != index || info.type() != img::tty_info_entry::PTY) continue;
      (is_master(info) ? pair.master_info : pair.slave_info) = &info;
    }
    if (pair.slave_info == nullptr || !pair.slave_info->has_termios()) {
      throw Error(ErrorCode::corrupt_image, kTtyStep, fmt::format("/dev/pts/{} is not in it", index))
          .with_image(std::string(image_file::kTtyInfo));
    }
    if (pair.master_info == nullptr) return pair;
    PtyTable& ptys = context.task.shmem.ptys();
    if (pair.slave_info->has_dev()) set_owner(ptys.slave(index), pair, context);
    set_state(pair, ptys);
    return pair;
  }

  bool has_lost_master(const img::file_entry& entry, const FdRestoreContext& context) const {
    return entry.tty().has_regf_id() &&
           context.task.files.entry(entry.tty().regf_id()).reg().name().ends_with(" (deleted)");
  }

  // The terminal is hung up when its master is closed, after all descriptions of it are open.
  Fd open_orphaned(const img::file_entry& entry, const img::tty_info_entry& info, FdRestoreContext& context) {
    const uint32_t index = info.pty().index();
    PtyTable& ptys = context.task.shmem.ptys();
    if (pairs_.contains(index))
      throw Error(ErrorCode::corrupt_image, kTtyStep,
                  fmt::format("/dev/pts/{} has lost its master, and has one", index));
    if (orphaned_.insert(index).second) set_owner(ptys.slave(index), {index, nullptr, &info}, context);
    return ptys.open_slave(index, static_cast<int>(entry.tty().flags() & kFlags),
                           (entry.tty().flags() & kLargeFile) != 0);
  }

  // --shell-job: opens our own terminal, with the settings that the program knows.
  Fd open_callers(const img::tty_info_entry& info, int flags, bool by_alias, const PtyTable& ptys) {
    Fd fd = ptys.open_callers(flags, by_alias);
    if (!by_alias && callers_set_.insert(info.id()).second) {
      const KernelTermios termios = termios_of(info.termios(), info.pty().index());
      if (const int failure = set_termios(fd.get(), termios)) throw_errno(kTtyStep, "the terminal we are at", failure);
    }
    return fd;
  }

  // /dev/tty leads to the controlling terminal of the process that opens it.
  static Fd open_alias(const img::tty_info_entry& slave, int flags, FdRestoreContext& context) {
    Vessel* leader = context.task.tree.find(static_cast<pid_t>(slave.sid()));
    if (leader == nullptr) {
      throw Error(ErrorCode::unsupported, kTtyStep,
                  fmt::format("/dev/pts/{} is open as /dev/tty and controls no session", slave.pty().index()));
    }
    return leader->descriptors().open_as("/dev/tty", flags);
  }

  void set_owner(int slave, const Pair& pair, FdRestoreContext& context) const {
    const std::string path = fmt::format("/dev/pts/{}", pair.index);
    if (::fchown(slave, pair.slave_info->uid(), pair.slave_info->gid()) != 0) throw_errno(kTtyStep, path);
    for (const auto& [id, entry] : context.entries) {
      if (!matches(entry) || entry.tty().tty_info_id() != pair.slave_info->id() || !entry.tty().has_regf_id()) continue;
      const img::reg_file_entry& reg = context.task.files.entry(entry.tty().regf_id()).reg();
      if (reg.has_mode() && ::fchmod(slave, reg.mode() & 0777) != 0) throw_errno(kTtyStep, path);
      return;
    }
  }

  void set_state(const Pair& pair, PtyTable& ptys) const {
    const int master = ptys.master(pair.index);
    const KernelTermios termios = termios_of(pair.slave_info->termios(), pair.index);
    const img::winsize_entry& window = pair.slave_info->winsize();
    const struct winsize size {
      static_cast<unsigned short>(window.ws_row()), static_cast<unsigned short>(window.ws_col()),
          static_cast<unsigned short>(window.ws_xpixel()), static_cast<unsigned short>(window.ws_ypixel())
    };
    request(master, TIOCSWINSZ, &size, pair.index);
    int failure = 0;
    if (pair.slave_info->has_dev()) {
      const auto content = std::make_unique<PtyContent>();
      load(content->input, pair.slave_info->id(), pair.index);
      load(content->output, pair.master_info->id(), pair.index);
      failure = fill_pty(master, ptys.slave(pair.index), *content, termios);
    } else {
      failure = set_termios(master, termios);
    }
    if (failure != 0) throw_errno(kTtyStep, fmt::format("/dev/pts/{}", pair.index), failure);
  }

  void load(PtyQueue& queue, uint32_t id, uint32_t index) const {
    const auto found = data_.find(id);
    if (found == data_.end()) return;
    if (found->second.size() > sizeof queue.bytes) {
      throw Error(ErrorCode::corrupt_image, kTtyStep, fmt::format("what waits in /dev/pts/{} is too much", index));
    }
    queue.size = found->second.size();
    std::memcpy(queue.bytes, found->second.data(), queue.size);
  }

  std::map<uint32_t, img::tty_info_entry> infos_;
  std::map<uint32_t, std::string> data_;
  std::map<uint32_t, Pair> pairs_;
  std::set<uint32_t> callers_set_;
  std::set<uint32_t> orphaned_;
};

}  // namespace

FdRestorerPtr make_terminal_restorer() {
  return std::make_unique<Terminals>();
}

}  // namespace crx
