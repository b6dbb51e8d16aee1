// The description of a decided tree in the details of the records RESUMING and RESUMED.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace crx {

struct DecidedTree {
  pid_t root = 0;             // its number in the tree's own PID namespace
  std::size_t processes = 0;  // the number of processes in the group, counted while it is frozen
  std::string group;          // FreezerGroup::path()
  bool runs = false;          // the group was thawed after RESUMED, or is not to be
  bool stay_frozen = false;   // the group is not to be thawed: the tree was frozen at the source

  bool operator==(const DecidedTree&) const = default;
};

// "pid 4711 processes 3 group /sys/fs/cgroup/crx-0123456789abcdef", with "stay frozen" before "group", or "pid 4711
// runs".
std::string to_detail(const DecidedTree& tree);
// nullopt for any other text.
std::optional<DecidedTree> parse_decided_tree(std::string_view detail);

}  // namespace crx
