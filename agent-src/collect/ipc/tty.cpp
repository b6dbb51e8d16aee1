// Terminals: pseudo-terminals with both ends in the tree, with their queued content. All other terminals belong to
// processes that do not move.
#include <asm/ioctls.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent-src/collect/ipc/in_flight_fds.hpp"
#include "agent-src/collect/ipc/pipe_content.hpp"
#include "agent-src/collect/kind/fd_kind.hpp"
#include "agent-src/collect/kind/tree_members.hpp"
#include "agent-src/collect/kind/uninterruptible_child.hpp"
#include "agent-src/tree/terminals.hpp"
#include "common/base/error.hpp"
#include "common/base/mapping.hpp"
#include "common/image/magic.hpp"
#include "common/image/schema/regular.pb.h"
#include "common/kernel/ipc/pty.hpp"
#include "common/proc/text.hpp"

namespace crx {
namespace {

constexpr char kTtyStep[] = "collecting terminals";

// The input and output of the copying process, in shared memory.
struct CopyJob {
  int master, slave;
  int failure;
  PtyContent content;
};

int copy_job(void* argument) {
  CopyJob& job = *static_cast<CopyJob*>(argument);
  job.failure = copy_pty(job.master, job.slave, job.content);
  return 0;
}

void describe(const KernelTermios& termios, img::termios_entry& entry) {
  entry.set_c_iflag(termios.c_iflag);
  entry.set_c_oflag(termios.c_oflag);
  entry.set_c_cflag(termios.c_cflag);
  entry.set_c_lflag(termios.c_lflag);
  entry.set_c_line(termios.c_line);
  entry.set_c_ispeed(termios.c_ispeed);
  entry.set_c_ospeed(termios.c_ospeed);
  for (const unsigned char c : termios.c_cc) entry.add_c_cc(c);
}

void describe(const struct winsize& size, img::winsize_entry& window) {
  window.set_ws_row(size.ws_row);
  window.set_ws_col(size.ws_col);
  window.set_ws_xpixel(size.ws_xpixel);
  window.set_ws_ypixel(size.ws_ypixel);
}

int ask(int fd, unsigned long request, const OpenFile& file) {
  int value = 0;
  if (::ioctl(fd, request, &value) != 0) throw_errno(kTtyStep, file.label());
  return value;
}

class Terminals final : public FdKind {
 public:
  const char* name() const override { return "terminals"; }
  bool matches(const OpenFile& file) const override {
    return S_ISCHR(file.st.st_mode) && !file.path_only() && is_terminal(file.st.st_rdev);
  }

  void inspect(const OpenFile& file, const std::vector<OpenFile>& files, InspectContext& context) override {
    const Terminal terminal = terminal_of(file);
    std::optional<Problem> problem = problem_of(terminal, file, files, context.options);
    // The master may be in flight in a socket.
    if (problem && is_slave_of_pair(terminal, file) && has_in_flight_fds(files)) problem.reset();
    // The check is made once for each pair, and includes descriptors of our own process.
    if (!problem && terminal.kind == TerminalKind::master && seen_.insert(terminal.index).second)
      problem = outsiders(terminal, file, true);
    if (problem) context.refusals.push_back(refusal_of(file, problem->reason, problem->remedy));
  }

  void collect(OpenFile& file, FdContext& context, img::file_entry& entry) override {
    const Terminal terminal = terminal_of(file);
    if (const auto problem = problem_of(terminal, file, context.files, context.task.options))
      refuse(file, problem->reason, problem->remedy);
    if (seen_.insert(terminal.index).second) {
      const OpenFile* master = terminal.kind == TerminalKind::master ? &file : find_master(terminal, context.files);
      if (master != nullptr) {
        describe_pair(*master, context);
      } else if (has_lost_master(file)) {
        describe_hung_up(file, terminal.index, context);
      } else {
        describe_outside(file, terminal.index, context);
      }
    }
    entry.set_type(img::TTY);
    img::tty_file_entry& tty = *entry.mutable_tty();
    tty.set_id(file.id);
    tty.set_tty_info_id(terminal.kind == TerminalKind::master ? master_info(terminal.index)
                        : terminal.by_alias                   ? alias_info(terminal.index, context)
                                                              : slave_info(terminal.index));
    tty.set_flags(file.info.flags);
    *tty.mutable_fown() = read_file_owner(file);
    tty.set_regf_id(add_device_file(file, tty.fown(), context));
  }

 private:
  struct Problem {
    std::string reason, remedy;
  };

  // Both ends of a pair have an entry in tty-info.img.
  static uint32_t master_info(uint32_t index) { return 2 * index + 1; }
  static uint32_t slave_info(uint32_t index) { return 2 * index + 2; }

  // For a terminal that was opened as /dev/tty.
  uint32_t alias_info(uint32_t index, FdContext& context) {
    constexpr uint32_t kAliases = 1 << 24;
    const uint32_t id = kAliases + slave_info(index);
    if (!aliases_.insert(id).second) return id;
    img::tty_info_entry info;
    fill_bare(info, index);
    info.set_id(id);
    info.set_type(img::tty_info_entry::CTTY);
    info.set_rdev(static_cast<uint32_t>(makedev(5, 0)));
    context.task.images.append(image_file::kTtyInfo, info);
    return id;
  }

  static void fill_bare(img::tty_info_entry& info, uint32_t index) {
    info.set_type(img::tty_info_entry::PTY);
    info.set_locked(false);
    info.set_exclusive(false);
    info.set_packet_mode(false);
    info.set_sid(0);
    info.set_pgrp(0);
    info.mutable_pty()->set_index(index);
  }

  static const OpenFile* find_master(const Terminal& terminal, const std::vector<OpenFile>& files) {
    for (const OpenFile& file : files) {
      if (!S_ISCHR(file.st.st_mode) || file.path_only() || !is_terminal(file.st.st_rdev)) continue;
      const Terminal other = terminal_of(file);
      if (other.kind == TerminalKind::master && other.index == terminal.index) return &file;
    }
    return nullptr;
  }
  static std::optional<Problem> problem_of(const Terminal& terminal, const OpenFile& file,
                                           const std::vector<OpenFile>& files, const CollectOptions& options) {
    if (terminal.kind == TerminalKind::other) {
      return Problem{fmt::format("{} is a terminal of this host's hardware or kernel, which stays here", file.link),
                     "start the program in a terminal multiplexer, or with its input and output redirected"};
    }
    if (terminal.kind == TerminalKind::master) return std::nullopt;
    if (options.shell_job || has_lost_master(file)) return std::nullopt;
    if (find_master(terminal, files) != nullptr) return std::nullopt;
    return outside_problem(terminal, file.link);
  }

  static bool is_slave_of_pair(const Terminal& terminal, const OpenFile& file) {
    return terminal.kind == TerminalKind::slave && !file.link.ends_with(proc::kDeleted);
  }

  static Problem outside_problem(const Terminal& terminal, const std::string& link) {
    const std::string at = fmt::format("/dev/pts/{}", terminal.index);
    const std::string what = link == at ? "the terminal " + at : fmt::format("{}, here the terminal {},", link, at);
    return {fmt::format("{} has its other end outside, {}", what, describe_master_holder(terminal.index)),
            std::string(kShellJobRemedy)};
  }

  // Reports a process outside the tree that has the slave of a pair open.
  static std::optional<Problem> outsiders(const Terminal& terminal, const OpenFile& master, bool with_us) {
    const std::string path = fmt::format("/dev/pts/{}", terminal.index);
    struct stat st {};
    if (::stat(fmt::format("/proc/{}/root{}", master.pid, path).c_str(), &st) != 0) return std::nullopt;
    const auto holders = external_holders({st.st_dev, st.st_ino}, path, master, with_us);
    if (holders.empty()) return std::nullopt;
    return Problem{fmt::format("the terminal {}, whose master the program has, is also open outside, by {}", path,
                               crx::describe(holders)),
                   "end that process, or move it along"};
  }

  // Whether the terminal's master has been closed: reads return end of file, and everything else fails. The number is
  // not reused until the slaves are closed, too. (An open of /dev/tty leads to no terminal then, and is not matched
  // here.)
  static bool has_lost_master(const OpenFile& file) { return file.link.ends_with(proc::kDeleted); }

  static void describe_hung_up(const OpenFile& file, uint32_t index, FdContext& context) {
    img::tty_info_entry info;
    fill_bare(info, index);
    info.set_id(slave_info(index));
    info.set_rdev(static_cast<uint32_t>(file.st.st_rdev));
    info.set_uid(file.st.st_uid);
    info.set_gid(file.st.st_gid);
    context.task.images.append(image_file::kTtyInfo, info);
  }

  // --shell-job: records only the settings that the program has made.
  static void describe_outside(const OpenFile& file, uint32_t index, FdContext& context) {
    KernelTermios termios{};
    struct winsize size {};
    if (const int failure = get_termios(file.own.get(), termios)) throw_errno(kTtyStep, file.label(), failure);
    if (::ioctl(file.own.get(), TIOCGWINSZ, &size) != 0) throw_errno(kTtyStep, file.label());
    img::tty_info_entry info;
    fill_bare(info, index);
    info.set_id(slave_info(index));
    info.set_rdev(static_cast<uint32_t>(makedev(136, index)));
    describe(termios, *info.mutable_termios());
    describe(size, *info.mutable_winsize());
    context.task.images.append(image_file::kTtyInfo, info);
  }

  void describe_pair(const OpenFile& master, FdContext& context) {
    const Terminal terminal = terminal_of(master);
    if (const auto problem = outsiders(terminal, master, false)) refuse(master, problem->reason, problem->remedy);
    const int fd = master.own.get();
    if (ask(fd, TIOCGETD, master) != 0)
      refuse(master, "it has a line discipline of its own", "let the program set the usual one");
    img::tty_info_entry ends[2];
    KernelTermios termios{};
    if (const int failure = get_termios(fd, termios)) throw_errno(kTtyStep, master.label(), failure);
    struct winsize size {};
    if (::ioctl(fd, TIOCGWINSZ, &size) != 0) throw_errno(kTtyStep, master.label());
    for (img::tty_info_entry& end : ends) {
      fill_bare(end, terminal.index);
      describe(termios, *end.mutable_termios());
      describe(size, *end.mutable_winsize());
    }
    ends[0].set_id(master_info(terminal.index));
    ends[0].set_rdev(static_cast<uint32_t>(master.st.st_rdev));
    ends[0].set_locked(ask(fd, TIOCGPTLCK, master) != 0);
    ends[0].set_packet_mode(ask(fd, TIOCGPKT, master) != 0);
    ends[0].set_exclusive(ask(fd, TIOCGEXCL, master) != 0);
    describe_slave(master, terminal.index, ends[1], context);
    for (const img::tty_info_entry& end : ends) context.task.images.append(image_file::kTtyInfo, end);
  }

  void describe_slave(const OpenFile& master, uint32_t index, img::tty_info_entry& info, FdContext& context) {
    info.set_id(slave_info(index));
    info.set_rdev(static_cast<uint32_t>(makedev(136, index)));
    const int sid = session_of(master.own.get());
    if (sid > 0) {
      if (!is_inside(sid, context)) {
        refuse(master,
               fmt::format("the terminal /dev/pts/{} controls session {}, which does not move along", index, sid),
               "move that session as a whole");
      }
      info.set_sid(static_cast<uint32_t>(sid));
      info.set_pgrp(static_cast<uint32_t>(std::max(ask(master.own.get(), TIOCGPGRP, master), 0)));
    }
    // Opening a slave that has never been opened would change what its master reads.
    if (!is_slave_open(index, context.files) && !is_hung_up(master)) return;
    const Fd slave(::ioctl(master.own.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC));
    if (!slave) {  // locked: it has never been opened
      if (errno != EIO) throw_errno(kTtyStep, master.label());
      return;
    }
    struct stat st {};
    if (::fstat(slave.get(), &st) != 0) throw_errno(kTtyStep, master.label());
    info.set_uid(st.st_uid);
    info.set_gid(st.st_gid);
    info.set_dev(static_cast<uint32_t>(st.st_dev));
    info.set_exclusive(ask(slave.get(), TIOCGEXCL, master) != 0);
    copy_content(master, slave.get(), index, context);
  }

  static bool is_slave_open(uint32_t index, const std::vector<OpenFile>& files) {
    for (const OpenFile& file : files) {
      if (!S_ISCHR(file.st.st_mode) || file.path_only() || !is_terminal(file.st.st_rdev)) continue;
      const Terminal terminal = terminal_of(file);
      if (terminal.kind == TerminalKind::slave && terminal.index == index) return true;
    }
    return false;
  }

  static bool is_hung_up(const OpenFile& master) {
    pollfd entry{master.own.get(), POLLIN, 0};
    return ::poll(&entry, 1, 0) == 1 && (entry.revents & POLLHUP) != 0;
  }

  static void copy_content(const OpenFile& master, int slave, uint32_t index, FdContext& context) {
    KernelTermios termios{};
    if (const int failure = get_termios(slave, termios)) throw_errno(kTtyStep, master.label(), failure);
    // FIONREAD does not count an unfinished line; only reading shows it.
    const bool by_lines = (termios.c_lflag & ICANON) != 0;
    if (!by_lines && ask(slave, FIONREAD, master) == 0 && ask(master.own.get(), FIONREAD, master) == 0) return;
    const Mapping memory = Mapping::map(sizeof(CopyJob), PROT_READ | PROT_WRITE, MAP_SHARED);
    CopyJob& job = *new (memory.data()) CopyJob;
    job.master = master.own.get();
    job.slave = slave;
    run_uninterruptible_child(copy_job, &job);
    if (job.failure == EAGAIN) {
      refuse(master, fmt::format("output to the terminal /dev/pts/{} is stopped, or nobody reads it", index),
             "let it go on (^Q), and try again");
    }
    if (job.failure != 0) throw_errno(kTtyStep, master.label(), job.failure);
    const auto add = [&](uint32_t id, const PtyQueue& queue) {
      if (queue.size == 0) return;
      img::tty_data_entry data;
      data.set_tty_id(id);
      data.set_data(queue.bytes, queue.size);
      context.task.images.append(image_file::kTtyData, data);
    };
    add(slave_info(index), job.content.input);
    add(master_info(index), job.content.output);
  }

  static bool is_inside(pid_t pid, const FdContext& context) {
    const std::vector<pid_t> pids = tree_members_of(context.task);
    return std::find(pids.begin(), pids.end(), pid) != pids.end();
  }

  // Returns the session that the terminal controls; 0 for none.
  static int session_of(int master) {
    int sid = 0;
    return ::ioctl(master, TIOCGSID, &sid) == 0 ? sid : 0;
  }

  // Adds the device as a file entry, which is how CRIU records the path by which it was opened.
  static uint32_t add_device_file(const OpenFile& file, const img::fown_entry& owner, FdContext& context) {
    img::file_entry entry;
    entry.set_type(img::REG);
    entry.set_id(context.task.files.next_id());
    img::reg_file_entry& reg = *entry.mutable_reg();
    reg.set_id(entry.id());
    reg.set_flags(file.info.flags);
    reg.set_pos(0);
    *reg.mutable_fown() = owner;
    reg.set_name(file.link);
    reg.set_mode(file.st.st_mode);
    const uint32_t id = entry.id();
    context.task.files.add(std::move(entry));
    return id;
  }

  std::set<uint32_t> seen_, aliases_;
};

}  // namespace

FdKindPtr make_terminals() {
  return std::make_unique<Terminals>();
}

}  // namespace crx
