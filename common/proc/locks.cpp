#include "common/proc/locks.hpp"

#include "common/proc/text.hpp"

namespace crx::proc {
namespace {

Lock::Kind kind_of(Scanner& line, std::string_view word) {
  if (word == "POSIX" || word == "ACCESS") return Lock::Kind::posix;
  if (word == "FLOCK") return Lock::Kind::flock;
  if (word == "OFDLCK") return Lock::Kind::ofd;
  if (word == "LEASE") return Lock::Kind::lease;
  if (word == "DELEG") return Lock::Kind::delegation;
  line.fail("the kind of lock is unknown");
}

Lock::Type type_of(Scanner& line, std::string_view word) {
  if (word == "READ") return Lock::Type::read;
  if (word == "WRITE") return Lock::Type::write;
  if (word == "UNLCK" || word == "NONE" || word == "RW") return Lock::Type::none;
  line.fail("the type of lock is unknown");
}

}  // namespace

Lock parse_lock_line(std::string_view text) {
  Scanner line("/proc/locks", text);
  Lock lock;
  lock.id = line.blanks().dec();
  line.expect(":").blanks();
  lock.waiting = line.accept("->");
  lock.kind = kind_of(line, line.blanks().word());
  const std::string_view mode = line.blanks().word();
  lock.mandatory = mode == "MANDATORY";
  lock.breaking = mode == "BREAKING";
  lock.type = type_of(line, line.blanks().word());
  lock.pid = line.blanks().signed_dec32();
  line.blanks();
  // The kernel prints a lock without an inode as "<none>:0".
  if (!line.accept("<none>:0")) {
    lock.dev_major = line.hex32();
    lock.dev_minor = line.expect(":").hex32();
    lock.inode = line.expect(":").dec();
  }
  lock.start = line.blanks().dec();
  if (!line.blanks().accept("EOF")) lock.end = line.dec();
  line.expect_end();
  return lock;
}

std::vector<Lock> parse_locks(std::string_view text) {
  std::vector<Lock> locks;
  while (const auto line = next_line(text)) locks.push_back(parse_lock_line(*line));
  return locks;
}

}  // namespace crx::proc
