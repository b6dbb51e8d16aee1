#include "common/proc/syscall.hpp"

#include "common/proc/text.hpp"

namespace crx::proc {

std::optional<BlockedSyscall> parse_syscall(std::string_view text) {
  Scanner line("/proc/PID/syscall", next_line(text).value_or(""));
  if (line.accept("running")) return std::nullopt;
  BlockedSyscall call;
  call.nr = line.signed_dec();
  if (call.nr != -1) {
    for (uint64_t& arg : call.args) arg = line.expect(" ").prefixed_hex();
  }
  call.sp = line.expect(" ").prefixed_hex();
  call.pc = line.expect(" ").prefixed_hex();
  line.expect_end();
  return call;
}

}  // namespace crx::proc
