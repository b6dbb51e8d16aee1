// The pseudo-terminals of a tree at the destination, by their numbers under /dev/pts; and the terminal we were started
// on.
#pragma once

#include <cstdint>
#include <map>

#include "common/base/fd.hpp"

namespace crx {

class PtyTable {
 public:
  // A master with exactly this number, made on first use, unlocked; ours until take_master(). Throws Error(refused)
  // when the number is taken.
  int master(uint32_t index);
  // A slave of it, open for reading and writing without blocking; ours until drop(). It becomes nobody's controlling
  // terminal by being here.
  int slave(uint32_t index);
  // A description of the slave. by_path: opened by name, which marks it (O_LARGEFILE) as open(2) does.
  Fd open_slave(uint32_t index, int flags, bool by_path);
  // Forgets a pair; what others have of it stays.
  void drop(uint32_t index) { pairs_.erase(index); }

  // Terminals whose other end is not in the images become the one we have (--shell-job). Throws Error(refused) when we
  // have none.
  void use_callers();
  bool uses_callers() const noexcept { return static_cast<bool>(callers_); }
  // Error(refused) unless use_callers() was called. by_alias: as /dev/tty.
  Fd open_callers(int flags, bool by_alias) const;

 private:
  struct Pair {
    Fd master, slave;
  };
  std::map<uint32_t, Pair> pairs_;
  Fd callers_;
};

}  // namespace crx
