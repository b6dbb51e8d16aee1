#include "common/proc/fdinfo.hpp"

#include <utility>

#include "common/proc/text.hpp"

namespace crx::proc {
namespace {

constexpr std::string_view kFdinfoFile = "/proc/PID/fdinfo/FD";
constexpr std::size_t kMaxHandleBytes = 128;  // MAX_HANDLE_SZ

TimerfdInfo& timerfd(Fdinfo& info) {
  if (!info.timerfd) info.timerfd.emplace();
  return *info.timerfd;
}

EventfdInfo& eventfd(Fdinfo& info) {
  if (!info.eventfd) info.eventfd.emplace();
  return *info.eventfd;
}

PidfdInfo& pidfd(Fdinfo& info) {
  if (!info.pidfd) info.pidfd.emplace();
  return *info.pidfd;
}

// Parses "(99, 999398080)".
void seconds(Scanner& line, int64_t& sec, int64_t& nsec) {
  sec = line.blanks().expect("(").signed_dec();
  nsec = line.expect(",").blanks().signed_dec();
  line.expect(")");
}

EpollTarget epoll_target(Scanner& line) {
  EpollTarget target;
  target.fd = line.blanks().signed_dec32();
  target.events = line.blanks().expect("events:").blanks().hex32();
  target.data = line.blanks().expect("data:").blanks().hex();
  if (line.blanks().accept("pos:")) target.pos = line.signed_dec();
  if (line.blanks().accept("ino:")) target.inode = line.hex();
  if (line.blanks().accept("sdev:")) target.sdev = line.hex32();
  return target;
}

// Parses "fhandle-bytes:8 fhandle-type:1 f_handle:1ac5030000000000"; nullopt when the line has no file handle.
std::optional<FileHandle> file_handle(Scanner& line) {
  if (!line.blanks().accept("fhandle-bytes:")) return std::nullopt;
  FileHandle handle;
  const uint64_t size = line.hex();
  if (size > kMaxHandleBytes) line.fail("the file handle is too long");
  handle.type = static_cast<int32_t>(line.blanks().expect("fhandle-type:").hex32());
  const std::string_view digits = line.blanks().expect("f_handle:").word();
  if (digits.size() != size * 2) line.fail("the file handle does not have the stated length");
  for (std::size_t i = 0; i < digits.size(); i += 2) {
    Scanner byte(kFdinfoFile, digits.substr(i, 2));
    handle.bytes += static_cast<char>(byte.hex32());
    byte.expect_end();
  }
  return handle;
}

InotifyWatch inotify_watch(Scanner& line) {
  InotifyWatch watch;
  watch.wd = static_cast<int32_t>(line.blanks().expect("wd:").hex(INT32_MAX));
  watch.inode = line.blanks().expect("ino:").hex();
  watch.sdev = line.blanks().expect("sdev:").hex32();
  watch.mask = line.blanks().expect("mask:").hex32();
  watch.ignored_mask = line.blanks().expect("ignored_mask:").hex32();
  watch.handle = file_handle(line);
  return watch;
}

void fanotify_line(Fdinfo& info, Scanner& line) {
  if (!info.fanotify) info.fanotify.emplace();
  line.blanks();
  if (line.accept("flags:")) {
    info.fanotify->flags = line.hex32();
    info.fanotify->event_flags = line.blanks().expect("event-flags:").hex32();
    return;
  }
  FanotifyInfo::Mark mark;
  if (line.accept("mnt_id:")) {
    mark.mount_id = line.hex32();
  } else {
    if (line.accept("ino:")) mark.inode = line.hex();
    mark.sdev = line.blanks().expect("sdev:").hex32();
  }
  mark.mark_flags = line.blanks().expect("mflags:").hex32();
  mark.mask = line.blanks().expect("mask:").hex32();
  mark.ignored_mask = line.blanks().expect("ignored_mask:").hex32();
  mark.handle = file_handle(line);
  info.fanotify->marks.push_back(std::move(mark));
}

// Handles a line that every kind of file has; false when the key is not one of those.
bool common_line(Fdinfo& info, std::string_view key, Scanner& line) {
  if (key == "pos") {
    // Depending on the kernel it is printed unsigned or signed; positions reach 2^63-1 (and are "negative" in
    // /proc/PID/mem and the like).
    info.pos = line.signed_dec();
  } else if (key == "flags") {
    info.flags = line.oct32();
  } else if (key == "mnt_id") {
    info.mnt_id = line.signed_dec32();
  } else if (key == "ino") {
    info.inode = line.dec();
  } else if (key == "lock") {
    info.locks.push_back(parse_lock_line(line.left()));
  } else {
    return false;
  }
  return true;
}

void special_line(Fdinfo& info, std::string_view key, Scanner& line) {
  if (key == "eventfd-count") {
    eventfd(info).count = line.hex();
  } else if (key == "eventfd-id") {
    eventfd(info).id = line.signed_dec32();
  } else if (key == "eventfd-semaphore") {
    eventfd(info).semaphore = line.dec32() != 0;
  } else if (key == "tfd") {
    info.epoll_targets.push_back(epoll_target(line));
  } else if (key == "clockid") {
    timerfd(info).clock_id = line.signed_dec32();
  } else if (key == "ticks") {
    timerfd(info).ticks = line.dec();
  } else if (key == "settime flags") {
    timerfd(info).settime_flags = line.oct32();
  } else if (key == "it_value") {
    seconds(line, timerfd(info).value_sec, timerfd(info).value_nsec);
  } else if (key == "it_interval") {
    seconds(line, timerfd(info).interval_sec, timerfd(info).interval_nsec);
  } else if (key == "sigmask") {
    info.signalfd_mask = line.hex();
  } else if (key == "Pid") {
    pidfd(info).pid = line.signed_dec32();
  } else if (key == "NSpid") {
    while (!line.blanks().at_end()) pidfd(info).ns_pids.push_back(line.signed_dec32());
  } else if (key == "tty-index") {
    info.tty_index = line.signed_dec32();
  }
}

}  // namespace

Fdinfo parse_fdinfo(std::string_view text) {
  Fdinfo info;
  bool complete = false;
  while (const auto text_line = next_line(text)) {
    Scanner line(kFdinfoFile, *text_line);
    if (line.accept("inotify ")) {
      info.inotify.push_back(inotify_watch(line));
      continue;
    }
    if (line.accept("fanotify ")) {
      fanotify_line(info, line);
      continue;
    }
    const std::string_view key = line.until(':');
    if (!line.accept(":")) continue;
    line.blanks();
    complete = complete || key == "flags";
    if (!common_line(info, key, line)) special_line(info, key, line);
  }
  if (!complete) Scanner(kFdinfoFile, "").fail("the flags are missing");
  return info;
}

}  // namespace crx::proc
