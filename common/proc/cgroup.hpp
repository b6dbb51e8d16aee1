// Parses /proc/PID/cgroup (cgroups(7)).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace crx::proc {

// The position of a task in one cgroup hierarchy. The v2 hierarchy has id 0 and no controllers; a named v1 hierarchy
// has the single "controller" "name=NAME". The path is relative to the reader's cgroup namespace.
struct CgroupEntry {
  uint32_t hierarchy = 0;
  std::vector<std::string> controllers;
  std::string path;
  bool deleted = false;  // the kernel printed " (deleted)": the directory has been removed (the task is a zombie then)

  bool is_v2() const { return hierarchy == 0; }
  // Whether the hierarchy has this controller ("memory", "freezer").
  bool has(std::string_view controller) const;
  bool is_outside() const;  // true when the group lies outside the reader's cgroup namespace ("/..")
  bool operator==(const CgroupEntry&) const = default;
};

// Throws Error(kernel) on a malformed line.
std::vector<CgroupEntry> parse_cgroup(std::string_view text);
// The inverse of parse_cgroup().
std::string format_cgroup(const std::vector<CgroupEntry>& entries);

// Whether a path that comes from another host may be created here: it is absolute, has no "." and ".." components, and
// is of reasonable length and depth.
bool is_plain_cgroup_path(std::string_view path);

}  // namespace crx::proc
