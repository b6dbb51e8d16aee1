#include "common/proc/limits.hpp"

#include <sys/resource.h>

#include <algorithm>
#include <bitset>
#include <utility>

#include "common/proc/text.hpp"

namespace crx::proc {
namespace {

using Name = std::pair<std::string_view, unsigned>;
constexpr std::array<Name, 16> kNames = {{
    {"Max cpu time", RLIMIT_CPU},
    {"Max file size", RLIMIT_FSIZE},
    {"Max data size", RLIMIT_DATA},
    {"Max stack size", RLIMIT_STACK},
    {"Max core file size", RLIMIT_CORE},
    {"Max resident set", RLIMIT_RSS},
    {"Max processes", RLIMIT_NPROC},
    {"Max open files", RLIMIT_NOFILE},
    {"Max locked memory", RLIMIT_MEMLOCK},
    {"Max address space", RLIMIT_AS},
    {"Max file locks", RLIMIT_LOCKS},
    {"Max pending signals", RLIMIT_SIGPENDING},
    {"Max msgqueue size", RLIMIT_MSGQUEUE},
    {"Max nice priority", RLIMIT_NICE},
    {"Max realtime priority", RLIMIT_RTPRIO},
    {"Max realtime timeout", RLIMIT_RTTIME},
}};

uint64_t value(Scanner& line) {
  return line.blanks().accept("unlimited") ? UINT64_MAX : line.dec();
}

}  // namespace

std::array<Limit, 16> parse_limits(std::string_view text) {
  std::array<Limit, 16> limits;
  std::bitset<16> seen;
  while (const auto text_line = next_line(text)) {
    Scanner line("/proc/PID/limits", *text_line);
    const auto* name =
        std::find_if(kNames.begin(), kNames.end(), [&](const Name& n) { return line.left().starts_with(n.first); });
    if (name == kNames.end()) continue;
    line.expect(name->first);
    Limit& limit = limits.at(name->second);
    limit.soft = value(line);
    limit.hard = value(line);
    seen.set(name->second);
  }
  if (!seen.all()) Scanner("/proc/PID/limits", "").fail("some limits are missing");
  return limits;
}

}  // namespace crx::proc
