#include "common/proc/stat.hpp"

#include "common/proc/text.hpp"

namespace crx::proc {
namespace {

void read(Scanner& line, int32_t& value) {
  value = line.expect(" ").signed_dec32();
}
void read(Scanner& line, int64_t& value) {
  value = line.expect(" ").signed_dec();
}
void read(Scanner& line, uint32_t& value) {
  value = line.expect(" ").dec32();
}
void read(Scanner& line, uint64_t& value) {
  value = line.expect(" ").dec();
}

template <typename... Fields>
void read_all(Scanner& line, Fields&... fields) {
  (read(line, fields), ...);
}

}  // namespace

Stat parse_stat(std::string_view text) {
  constexpr std::string_view kStatFile = "/proc/PID/stat";
  if (text.ends_with('\n')) text.remove_suffix(1);
  // comm is not escaped. It ends at the last closing parenthesis, since only numbers follow it.
  const std::size_t open = text.find(" (");
  const std::size_t close = text.rfind(") ");
  if (open == std::string_view::npos || close == std::string_view::npos || close < open + 2) {
    Scanner(kStatFile, text).fail("the name in parentheses is missing");
  }
  Stat s;
  Scanner head(kStatFile, text.substr(0, open));
  s.pid = head.signed_dec32();
  head.expect_end();
  s.comm = text.substr(open + 2, close - open - 2);
  Scanner line(kStatFile, text.substr(close + 2));
  s.state = line.character();
  read_all(line, s.ppid, s.pgrp, s.session, s.tty_nr, s.tpgid, s.flags, s.minflt, s.cminflt, s.majflt, s.cmajflt,
           s.utime, s.stime, s.cutime, s.cstime, s.priority, s.nice, s.num_threads, s.itrealvalue, s.starttime, s.vsize,
           s.rss, s.rsslim, s.start_code, s.end_code, s.start_stack, s.kstkesp, s.kstkeip, s.signal, s.blocked,
           s.sigignore, s.sigcatch, s.wchan, s.nswap, s.cnswap, s.exit_signal, s.processor, s.rt_priority, s.policy,
           s.delayacct_blkio_ticks, s.guest_time, s.cguest_time, s.start_data, s.end_data, s.start_brk, s.arg_start,
           s.arg_end, s.env_start, s.env_end, s.exit_code);
  return s;
}

}  // namespace crx::proc
