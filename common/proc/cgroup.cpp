#include "common/proc/cgroup.hpp"

#include <algorithm>
#include <utility>

#include "common/proc/text.hpp"

namespace crx::proc {

bool CgroupEntry::has(std::string_view controller) const {
  return std::find(controllers.begin(), controllers.end(), controller) != controllers.end();
}

bool CgroupEntry::is_outside() const {
  return path == "/.." || path.starts_with("/../");
}

std::vector<CgroupEntry> parse_cgroup(std::string_view text) {
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

std::string format_cgroup(const std::vector<CgroupEntry>& entries) {
  std::string text;
  for (const CgroupEntry& entry : entries) {
    text += std::to_string(entry.hierarchy) + ":";
    for (std::size_t i = 0; i < entry.controllers.size(); ++i) text += (i == 0 ? "" : ",") + entry.controllers[i];
    text += ":" + entry.path + (entry.deleted ? " (deleted)\n" : "\n");
  }
  return text;
}

bool is_plain_cgroup_path(std::string_view path) {
  constexpr std::size_t kMaxPath = 4095, kMaxName = 255, kMaxDepth = 32;
  if (!path.starts_with('/') || path.size() > kMaxPath) return false;
  std::size_t depth = 0;
  for (path.remove_prefix(1); !path.empty();) {
    const std::string_view name = path.substr(0, path.find('/'));
    if (name.empty() || name == "." || name == ".." || name.size() > kMaxName || ++depth > kMaxDepth) return false;
    if (name.find('\0') != std::string_view::npos || name.find('\n') != std::string_view::npos) return false;
    path.remove_prefix(std::min(path.size(), name.size() + 1));
  }
  return true;
}

}  // namespace crx::proc
