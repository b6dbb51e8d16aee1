#include "agent-dst/restore_set/set_origin.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <exception>
#include <optional>
#include <vector>

#include "common/base/directory.hpp"
#include "common/base/fd.hpp"
#include "common/base/log.hpp"
#include "common/tool/error_json.hpp"

namespace crx {
namespace {

constexpr int kMostParents = 256;

// Returns which others could have written the file; empty if none could.
std::string others_of(const struct stat& st) {
  if (st.st_uid != 0 && st.st_uid != ::geteuid()) return fmt::format("belongs to uid {}", st.st_uid);
  const bool group = (st.st_mode & S_IWGRP) != 0 && st.st_gid != 0 && st.st_gid != ::getegid();
  if (group) return fmt::format("may be written by group {}", st.st_gid);
  return (st.st_mode & S_IWOTH) != 0 && !S_ISLNK(st.st_mode) ? "may be written by all users" : "";
}

// Looks at the folder and the files in it; returns "PATH belongs to ...".
std::optional<std::string> others_in(int folder, const std::string& path) {
  struct stat st {};
  if (::fstat(folder, &st) == 0 && !others_of(st).empty()) return path + " " + others_of(st);
  for (const std::string& name : list_directory(folder).value_or(std::vector<std::string>())) {
    if (::fstatat(folder, name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) continue;
    if (const std::string others = others_of(st); !others.empty()) return path + "/" + name + " " + others;
  }
  return std::nullopt;
}

}  // namespace

void warn_of_others(const std::string& images_dir) noexcept {
  try {
    std::string at = images_dir;
    for (int level = 0; level <= kMostParents; ++level, at += "/parent") {
      const Fd folder = try_open(at, O_RDONLY | O_DIRECTORY);
      if (!folder) return;
      const auto others = others_in(folder.get(), at);
      if (!others) continue;
      log::warn("{}, and the author of a set can do anything that root can: restore it only if you trust them as root",
                *others);
      return;
    }
  } catch (const std::exception&) {  // the set is restored all the same
  }
}

void print_signers(const ImageSet& set, bool json) {
  for (std::size_t level = 0; level < set.levels(); ++level) {
    const std::string& path = set.level(level).path();
    if (set.signer(level).empty()) continue;
    if (json) std::printf("%s\n", signed_line(path, set.signer(level)).c_str());
    std::fprintf(stderr, "crx-restore: %s is signed by %s\n", path.c_str(), set.signer(level).c_str());
  }
}

}  // namespace crx
