#include "common/kernel/ipc/pty.hpp"

#include <asm/ioctls.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace crx {
namespace {

int waiting(int tty) {
  int count = 0;
  return ::ioctl(tty, FIONREAD, &count) == 0 ? count : 0;
}

// poll(2) with timeout 0. It also makes the kernel deliver data that was written to the other side (n_tty_poll).
short ready(int tty, short events) {
  pollfd entry{tty, events, 0};
  return ::poll(&entry, 1, 0) > 0 ? entry.revents : short{0};
}

// Settings with which the kernel neither translates nor echoes anything, nor treats any byte as a signal or a line end.
// XON/XOFF handling is kept, since turning it off would start output that is stopped.
KernelTermios raw(const KernelTermios& termios) {
  KernelTermios bare = termios;
  bare.c_iflag &= IXON;
  bare.c_oflag &= ~static_cast<tcflag_t>(OPOST);
  bare.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO | ECHONL | ISIG | IEXTEN);
  bare.c_cc[VMIN] = 0;
  bare.c_cc[VTIME] = 0;
  return bare;
}

// Settings in which lines end as before, and no character but `end_of_file` has a special meaning.
KernelTermios lines_only(const KernelTermios& termios, unsigned char end_of_file) {
  KernelTermios bare = raw(termios);
  bare.c_lflag |= ICANON;
  for (unsigned i = 0; i < NCCS; ++i) {
    if (i != VEOL && i != VEOL2 && i != VSTART && i != VSTOP) bare.c_cc[i] = 0;
  }
  bare.c_cc[VEOL] = termios.c_cc[VEOL];
  bare.c_cc[VEOL2] = termios.c_cc[VEOL2];
  bare.c_cc[VEOF] = end_of_file;
  return bare;
}

int take(int tty, PtyQueue& queue) {
  queue.size = 0;
  while (queue.size < kPtyRoom && (ready(tty, POLLIN) & POLLIN) != 0 && waiting(tty) > 0) {
    const ssize_t got = ::read(tty, queue.bytes + queue.size, kPtyRoom - queue.size);
    if (got < 0) return errno;
    if (got == 0) break;
    queue.size += static_cast<std::size_t>(got);
  }
  return 0;
}

int write_all(int tty, const char* bytes, std::size_t size) {
  while (size > 0) {
    const ssize_t wrote = ::write(tty, bytes, size);
    if (wrote <= 0) return wrote < 0 ? errno : EIO;
    bytes += wrote;
    size -= static_cast<std::size_t>(wrote);
  }
  return 0;
}

// A character that does not occur in the queue, so that it can serve as the end-of-file character.
unsigned char spare_character(const PtyQueue& queue, const KernelTermios& termios) {
  bool used[256] = {};
  for (std::size_t i = 0; i < queue.size; ++i) used[static_cast<unsigned char>(queue.bytes[i])] = true;
  used[unsigned{'\n'}] = true;
  for (const unsigned at : {unsigned{VEOL}, unsigned{VEOL2}, unsigned{VSTART}, unsigned{VSTOP}})
    used[termios.c_cc[at]] = true;
  for (unsigned c = 1; c < 256; ++c) {
    if (!used[c]) return static_cast<unsigned char>(c);
  }
  return 0;
}

int put_input(int master, int slave, const PtyQueue& queue, const KernelTermios& termios) {
  if (queue.size == 0) return 0;
  if ((termios.c_lflag & ICANON) == 0) {
    const int failure = write_all(master, queue.bytes, queue.size);
    ready(slave, POLLIN);
    return failure;
  }
  const unsigned char end_of_file = spare_character(queue, termios);
  if (const int failure = set_termios(slave, lines_only(termios, end_of_file))) return failure;
  // Written in one piece: poll(2) makes the kernel deliver written data only while no whole line is ready to be read.
  // When one is ready, the rest of the piece is already being delivered, and a change of the settings waits for it.
  char typed[kPtyRoom];
  std::replace_copy(queue.bytes, queue.bytes + queue.size, typed, '\0', static_cast<char>(end_of_file));
  const int failure = write_all(master, typed, queue.size);
  ready(slave, POLLIN);
  return failure;
}

}  // namespace

int get_termios(int tty, KernelTermios& termios) noexcept {
  return ::ioctl(tty, TCGETS2, &termios) == 0 ? 0 : errno;
}
int set_termios(int tty, const KernelTermios& termios) noexcept {
  return ::ioctl(tty, TCSETS2, &termios) == 0 ? 0 : errno;
}

int fill_pty(int master, int slave, const PtyContent& content, const KernelTermios& termios) noexcept {
  int failure = set_termios(slave, raw(termios));
  if (failure == 0) failure = write_all(slave, content.output.bytes, content.output.size);
  if (failure == 0) failure = put_input(master, slave, content.input, termios);
  ready(master, POLLIN);
  const int last = set_termios(slave, termios);
  return failure != 0 ? failure : last;
}

int copy_pty(int master, int slave, PtyContent& content) noexcept {
  if ((ready(slave, POLLOUT) & POLLOUT) == 0) return EAGAIN;
  KernelTermios termios{};
  if (const int failure = get_termios(slave, termios)) return failure;
  int packets = 0;
  if (::ioctl(master, TIOCGPKT, &packets) != 0) return errno;
  int off = 0;
  if (packets != 0) ::ioctl(master, TIOCPKT, &off);
  int failure = set_termios(slave, raw(termios));
  if (failure == 0) failure = take(slave, content.input);
  if (failure == 0) failure = take(master, content.output);
  const int put = fill_pty(master, slave, content, termios);
  if (packets != 0) ::ioctl(master, TIOCPKT, &packets);
  return failure != 0 ? failure : put;
}

}  // namespace crx
