// The names in a directory; making one. The only code that opens a directory stream (opendir(3)).
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace crx {

// The names in a directory but "." and "..", in the order in which the kernel gives them. A directory that cannot be
// opened is an expected outcome: the result is nullopt, and errno says why. An error of readdir(3) ends the list early:
// a directory of /proc whose process ends meanwhile shows fewer names.
std::optional<std::vector<std::string>> list_directory(const std::string& path);
// The same for `name` below the directory that `directory` is open on; O_PATH is enough for it.
std::optional<std::vector<std::string>> list_directory(int directory, const std::string& name = ".");

// The names that are decimal numbers (PIDs, TIDs, descriptors), in the kernel's order.
std::optional<std::vector<int>> list_numeric(int directory, const std::string& name);
std::optional<std::vector<int>> list_numeric(const std::string& path);

// Makes a directory, mode 0700, unless it is there. Its name is on disk when this returns: the directory above is
// synced (fsync(2)). Throws Error(kernel); `step` says for what.
void make_directory(const std::string& path, const char* step);
// Returns when the names in the directory are on disk. Throws as make_directory().
void sync_directory(const std::string& path, const char* step);

}  // namespace crx
