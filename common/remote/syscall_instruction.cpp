#include "common/remote/syscall_instruction.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <string_view>

#include "common/base/error.hpp"
#include "common/base/fd.hpp"
#include "common/proc/maps.hpp"

namespace crx {
namespace {

constexpr uint64_t kMostBytes = uint64_t{16} << 20;  // the most that is searched of one mapping
constexpr std::string_view kSyscall = "\x0f\x05";

}  // namespace

uint64_t syscall_instruction(pid_t pid, const std::vector<PageRange>& not_in) {
  const std::string proc = fmt::format("/proc/{}/", pid);
  std::vector<proc::MapsEntry> maps = proc::parse_maps(read_file(proc + "maps"));
  std::erase_if(maps, [&](const proc::MapsEntry& map) {
    return !map.executable || map.kind == proc::MapKind::vsyscall ||
           std::any_of(not_in.begin(), not_in.end(),
                       [&](PageRange range) { return map.start < range.end && range.start < map.end; });
  });
  std::stable_partition(maps.begin(), maps.end(),
                        [](const proc::MapsEntry& map) { return map.kind == proc::MapKind::vdso; });
  const Fd mem = open_checked(proc + "mem", O_RDONLY);
  for (const proc::MapsEntry& map : maps) {
    std::string text(std::min(map.bytes(), kMostBytes), '\0');
    const ssize_t got = ::pread(mem.get(), text.data(), text.size(), static_cast<off_t>(map.start));
    text.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
    if (const auto at = text.find(kSyscall); at != std::string::npos) return map.start + at;
  }
  throw Error(ErrorCode::unsupported, "looking for a system call instruction",
              "the process has neither a vDSO nor code of its own with one")
      .with_pid(pid);
}

}  // namespace crx
