// /proc/PID/cgroup (cgroups(7)).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace crx::proc {

// A task's place in one hierarchy. The v2 hierarchy has id 0 and no controllers; a named v1 hierarchy has the
// one "controller" "name=NAME". The path is seen from the reader's cgroup namespace.
struct CgroupEntry {
  uint32_t hierarchy = 0;
  std::vector<std::string> controllers;
  std::string path;
  bool deleted = false;  // the directory is gone (a zombie's)

  bool is_v2() const { return hierarchy == 0; }
  bool has(std::string_view controller) const;
  bool is_outside() const;  // of the reader's cgroup namespace: "/.."
  bool operator==(const CgroupEntry&) const = default;
};

std::vector<CgroupEntry> parse_cgroup(std::string_view text);
// The same text again.
std::string format_cgroup(const std::vector<CgroupEntry>& entries);

// Whether a path that came from elsewhere may be made here: absolute, without "." and "..", of sane length and depth.
bool is_plain_cgroup_path(std::string_view path);

}  // namespace crx::proc
