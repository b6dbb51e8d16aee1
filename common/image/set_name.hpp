// What a set may be called in the store of an agent.
#pragma once

#include <algorithm>
#include <string_view>

namespace crx {

// Letters, digits, '.', '_' and '-', at most 64, no dot first: such a name leads nowhere else. "journal" is the agent's
// own.
inline bool valid_set_name(std::string_view name) {
  if (name.empty() || name.size() > 64 || name.front() == '.' || name == "journal") return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
           c == '.';
  });
}

}  // namespace crx
