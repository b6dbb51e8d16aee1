// The pseudo-terminals of a tree at the destination, by their numbers under /dev/pts, and the terminal of crx itself.
#pragma once

#include <cstdint>
#include <map>

#include "common/base/fd.hpp"

namespace crx {

// Owns the descriptors of both ends until a pair is dropped or the table is destroyed. See pts(4), ioctl_tty(2).
class PtyTable {
 public:
  // A master with exactly this number, created and unlocked on first use. The descriptor belongs to the table. Throws
  // Error(refused) when the number is taken.
  int master(uint32_t index);
  // A slave of it, open for reading and writing without blocking. The descriptor belongs to the table, and is nobody's
  // controlling terminal for that.
  int slave(uint32_t index);
  // A new open file description of the slave. by_path: opens it by its name, which sets O_LARGEFILE as open(2) does.
  Fd open_slave(uint32_t index, int flags, bool by_path);
  // Closes the table's descriptors of a pair; duplicates in vessels stay open.
  void drop(uint32_t index) { pairs_.erase(index); }

  // Makes terminals whose other end is not in the images the terminal of crx (--shell-job). Throws Error(refused) when
  // crx has none.
  void use_callers();
  bool uses_callers() const noexcept { return static_cast<bool>(callers_); }
  // Opens the terminal of crx, as /dev/tty where by_alias is set. Throws Error(refused) unless use_callers() was
  // called.
  Fd open_callers(int flags, bool by_alias) const;

 private:
  struct Pair {
    Fd master, slave;
  };
  std::map<uint32_t, Pair> pairs_;
  Fd callers_;
};

}  // namespace crx
