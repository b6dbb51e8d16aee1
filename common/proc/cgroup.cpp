#include "common/proc/cgroup.hpp"

#include <algorithm>
#include <utility>

#include "common/proc/text.hpp"

namespace crx::proc {

bool CgroupEntry::has(std::string_view controller) const {
  return std::find(controllers.begin(), controllers.end(), controller) != controllers.end();
}

std::vector<CgroupEntry> parse_cgroup(std::string_view text) {
  constexpr std::string_view kDeleted = " (deleted)";
  std::vector<CgroupEntry> entries;
  while (const auto text_line = next_line(text)) {
    Scanner line("/proc/PID/cgroup", *text_line);
    CgroupEntry entry;
    entry.hierarchy = line.dec32();
    std::string_view names = line.expect(":").until(':');
    while (!names.empty()) {
      const std::string_view name = names.substr(0, names.find(','));
      entry.controllers.emplace_back(name);
      names.remove_prefix(std::min(names.size(), name.size() + 1));
    }
    std::string_view path = line.expect(":").left();
    if (!path.starts_with('/')) line.fail("a path should follow");
    entry.deleted = path.ends_with(kDeleted);
    if (entry.deleted) path.remove_suffix(kDeleted.size());
    entry.path = path;
    entries.push_back(std::move(entry));
  }
  return entries;
}

}  // namespace crx::proc
