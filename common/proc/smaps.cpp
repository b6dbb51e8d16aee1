#include "common/proc/smaps.hpp"

#include <array>
#include <utility>

#include "common/proc/text.hpp"

namespace crx::proc {
namespace {

constexpr std::string_view kFile = "/proc/PID/smaps";

using Size = std::pair<std::string_view, uint64_t SmapsEntry::*>;
constexpr std::array kSizes = {
    Size{"KernelPageSize", &SmapsEntry::kernel_page_size_kib},
    Size{"Rss", &SmapsEntry::rss_kib},
    Size{"Anonymous", &SmapsEntry::anonymous_kib},
    Size{"AnonHugePages", &SmapsEntry::anon_huge_kib},
    Size{"Swap", &SmapsEntry::swap_kib},
    Size{"Locked", &SmapsEntry::locked_kib},
};

// The detail lines of a mapping begin with a capital letter; its first line begins with a lower-case hexadecimal digit.
bool is_body(std::string_view line) {
  return !line.empty() && line.front() >= 'A' && line.front() <= 'Z';
}

void body_line(SmapsEntry& entry, std::string_view text) {
  Scanner line(kFile, text);
  const std::string_view key = line.until(':');
  line.expect(":").blanks();
  if (key == "VmFlags") {
    entry.vm_flags = line.left();
  } else if (key == "ProtectionKey") {
    entry.protection_key = line.dec32();
  } else {
    for (const auto& [name, member] : kSizes) {
      if (key != name) continue;
      entry.*member = line.dec();
      line.expect(" kB");
    }
  }
}

}  // namespace

bool SmapsEntry::has(std::string_view flag) const {
  std::string_view left = vm_flags;
  while (left.size() >= 2) {
    if (left.substr(0, 2) == flag) return true;
    left.remove_prefix(left.size() >= 3 ? 3 : left.size());
  }
  return false;
}

std::vector<SmapsEntry> parse_smaps(std::string_view text) {
  std::vector<SmapsEntry> entries;
  while (const auto line = next_line(text)) {
    if (!is_body(*line)) {
      entries.emplace_back().map = parse_maps_line(*line);
    } else if (entries.empty()) {
      Scanner(kFile, *line).fail("a mapping should come first");
    } else {
      body_line(entries.back(), *line);
    }
  }
  return entries;
}

}  // namespace crx::proc
