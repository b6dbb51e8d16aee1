// Pseudo-terminals: reading the data that is queued in them, and queuing it again (pty(7), termios(3),
// drivers/tty/n_tty.c).
#pragma once

#include <asm/termbits.h>

#include <cstddef>

namespace crx {

using KernelTermios = termios2;

// The most that one direction of a pty can hold: the reader's buffer and the data queued before it
// (TTYB_DEFAULT_MEM_LIMIT).
inline constexpr std::size_t kPtyRoom = 128 * 1024;

// Queued bytes of one direction, in memory of the caller.
struct PtyQueue {
  std::size_t size = 0;
  char bytes[kPtyRoom];
};

// The contents of the two queues of a pty pair. An aggregate of fixed size, so it can lie in memory that processes
// share.
struct PtyContent {
  PtyQueue input;   // written to the master, to be read from the slave; a 0 marks an end of file within a line
  PtyQueue output;  // written to the slave, to be read from the master
};

// None of these functions allocates, throws or takes a lock, so they may run in a forked child of a process with
// threads. They return 0 or an errno value. master and slave are descriptors of the two ends; slave must be O_NONBLOCK
// and open for reading and writing, and must have been opened with O_NOCTTY. The caller's controlling terminal must be
// another one.

// TCGETS2 and TCSETS2 (ioctl_tty(2)): the settings of a terminal; a change takes effect at once.
int get_termios(int tty, KernelTermios& termios) noexcept;
int set_termios(int tty, const KernelTermios& termios) noexcept;
// Takes all queued data out of both sides and puts it back, in order and with the same line boundaries. Nothing else
// may be using the pair. EAGAIN: its output is stopped or full, and nothing has been changed.
int copy_pty(int master, int slave, PtyContent& content) noexcept;
// Writes `content` into an empty pair; afterwards the slave has the settings `termios`.
int fill_pty(int master, int slave, const PtyContent& content, const KernelTermios& termios) noexcept;

}  // namespace crx
