// Pseudo-terminals: what waits in them, and how it is put there (pty(7), termios(3), drivers/tty/n_tty.c).
#pragma once

#include <asm/termbits.h>

#include <cstddef>

namespace crx {

using KernelTermios = termios2;

// What both directions of a pty can hold: the reader's buffer and what waits before it (TTYB_DEFAULT_MEM_LIMIT).
inline constexpr std::size_t kPtyRoom = 128 * 1024;

// Bytes on their way, in memory of the caller's.
struct PtyQueue {
  std::size_t size = 0;
  char bytes[kPtyRoom];
};

// The two queues of a pair, taken out and put back, and how that went. Aggregate, of fixed size: it may lie in memory
// that processes share.
struct PtyContent {
  PtyQueue input;   // written to the master, to be read from the slave; an end of file in a line is a 0
  PtyQueue output;  // written to the slave, to be read from the master
};

// None of these allocates, throws or takes a lock: they may run in a child of a process with threads. They return 0 or
// an errno value. master and slave are descriptors of both ends; slave must be O_NONBLOCK, for reading and writing, and
// open without becoming anybody's controlling terminal; the caller's own must be another one.

int get_termios(int tty, KernelTermios& termios) noexcept;
int set_termios(int tty, const KernelTermios& termios) noexcept;
// Takes everything that waits on both sides and puts it back, in order, lines as they were. Nobody else may be using
// the pair. EAGAIN: its output is stopped or full, and nothing was touched.
int copy_pty(int master, int slave, PtyContent& content) noexcept;
// Writes `content` into an empty pair; the termios of the slave are `termios` afterwards.
int fill_pty(int master, int slave, const PtyContent& content, const KernelTermios& termios) noexcept;

}  // namespace crx
