// The texts of /proc: a task chooses its own names and files, so parts of them are hostile. The first byte chooses the
// parser. A parser may return a value or throw Error, nothing else.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "common/base/error.hpp"
#include "common/proc/cgroup.hpp"
#include "common/proc/fdinfo.hpp"
#include "common/proc/limits.hpp"
#include "common/proc/locks.hpp"
#include "common/proc/maps.hpp"
#include "common/proc/mountinfo.hpp"
#include "common/proc/sched.hpp"
#include "common/proc/stat.hpp"
#include "common/proc/status.hpp"
#include "common/proc/syscall.hpp"
#include "common/proc/text.hpp"
#include "common/proc/timers.hpp"

namespace {

void parse(char parser, std::string_view text) {
  using namespace crx::proc;
  switch (parser) {
    case 'm':
      parse_maps(text);
      break;
    case 'a':
      parse_smaps(text);
      break;
    case 's':
      parse_status(text);
      break;
    case 't':
      parse_stat(text);
      break;
    case 'f':
      parse_fdinfo(text);
      break;
    case 'i':
      parse_timers(text);
      break;
    case 'l':
      parse_locks(text);
      break;
    case 'r':
      parse_limits(text);
      break;
    case 'g':
      parse_cgroup(text);
      break;
    case 'o':
      parse_mountinfo(text);
      break;
    case 'd':
      parse_sched(text);
      break;
    case 'y':
      parse_syscall(text);
      break;
    case 'x':
      parse_hex_value("a file", text);
      break;
    case 'n':
      parse_signed_value("a file", text);
      break;
    case 'u':
      unescape_octal(text);
      break;
    default:
      break;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  try {
    parse(static_cast<char>(data[0]), std::string_view(reinterpret_cast<const char*>(data) + 1, size - 1));
  } catch (const crx::Error&) {
  }
  return 0;
}
