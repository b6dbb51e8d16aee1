// The names that a set may have in the store of an agent.
#pragma once

#include <algorithm>
#include <string_view>

namespace crx {

// Letters, digits, '.', '_' and '-', at most 64 characters, no leading dot: such a name cannot lead out of the store.
// "journal" is reserved for the agent.
inline bool valid_set_name(std::string_view name) {
  if (name.empty() || name.size() > 64 || name.front() == '.' || name == "journal") return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
           c == '.';
  });
}

}  // namespace crx
