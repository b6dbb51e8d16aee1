// The names in a directory. The only code that opens a directory stream (opendir(3)).
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace crx {

// The names in a directory but "." and "..", in the order in which the kernel gives them. A directory that cannot be
// opened is an expected outcome: nothing, and errno says why. What cannot be read while it is being listed ends the
// list: a directory of /proc whose process ends meanwhile shows fewer names.
std::optional<std::vector<std::string>> list_directory(const std::string& path);
// The same of `name` below the directory that `directory` is open on; O_PATH is enough for it.
std::optional<std::vector<std::string>> list_directory(int directory, const std::string& name = ".");

// Of these names, those that are decimal numbers, in the kernel's order: PIDs, TIDs, descriptors.
std::optional<std::vector<int>> list_numeric(int directory, const std::string& name);
std::optional<std::vector<int>> list_numeric(const std::string& path);

}  // namespace crx
