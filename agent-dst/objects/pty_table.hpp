// Holds the pseudo-terminals of a tree at the destination, by their numbers under /dev/pts, and the terminal of crx.
#pragma once

#include <cstdint>
#include <map>

#include "common/base/fd.hpp"

namespace crx {

// Owns the descriptors of both ends of a pair until the pair is dropped or the table is destroyed. Throws Error(kernel)
// for system calls that fail. Single-threaded. See pts(4), ioctl_tty(2).
class PtyTable {
 public:
  // Returns the master with exactly this number, which is created and unlocked on first use. The table owns the
  // descriptor. Throws Error(refused) when the number is taken, Error(unsupported) when it is too high.
  int master(uint32_t index);
  // Returns the slave of that master, open for reading and writing without blocking. The table owns the descriptor.
  // Opening it does not make it a controlling terminal.
  int slave(uint32_t index);
  // Returns a new open file description of the slave, owned by the caller. flags: of open(2). by_path: opens it by its
  // name, which sets O_LARGEFILE as open(2) does.
  Fd open_slave(uint32_t index, int flags, bool by_path);
  // Closes the table's descriptors of a pair; duplicates in vessels stay open.
  void drop(uint32_t index) { pairs_.erase(index); }

  // Replaces terminals whose other end is not in the images by the terminal of crx (--shell-job). Throws Error(refused)
  // when crx has no terminal.
  void use_callers();
  bool uses_callers() const noexcept { return static_cast<bool>(callers_); }
  // Opens the terminal of crx; the caller owns the descriptor. flags: of open(2). by_alias: opens it as /dev/tty.
  // Throws Error(refused) unless use_callers() was called.
  Fd open_callers(int flags, bool by_alias) const;

 private:
  struct Pair {
    Fd master, slave;
  };
  std::map<uint32_t, Pair> pairs_;
  Fd callers_;
};

}  // namespace crx
