// Parses /proc/PID/mountinfo (proc_pid_mountinfo(5)).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace crx::proc {

// One mount. All texts are unescaped.
struct MountEntry {
  int32_t id = 0;
  int32_t parent_id = 0;
  uint32_t dev_major = 0;
  uint32_t dev_minor = 0;
  std::string root;         // the directory of the filesystem that is mounted
  std::string mount_point;  // relative to the reader's root directory
  std::string options;      // the options of the mount: "rw,relatime"
  std::optional<uint32_t> shared_group;
  std::optional<uint32_t> master_group;
  std::optional<uint32_t> propagate_from;
  bool unbindable = false;
  std::string fs_type;
  std::string source;
  // the options of the filesystem
  std::string super_options;

  bool operator==(const MountEntry&) const = default;
};

// In the order of the file. Throws Error(kernel) on a malformed line.
std::vector<MountEntry> parse_mountinfo(std::string_view text);

}  // namespace crx::proc
