#include "agent-src/collect/kind/link_remaps.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>

#include "common/base/error.hpp"
#include "common/base/log.hpp"

namespace crx {

LinkRemaps::~LinkRemaps() {
  for (const auto& [file, name] : names_) {
    if (::unlink(name.c_str()) != 0 && errno != ENOENT) log::warn("cannot remove the name {}; it stays", name);
  }
}

std::string LinkRemaps::name_for(const std::string& link, const std::string& path, const struct stat& st) {
  const auto [slot, is_new] = names_.try_emplace({st.st_dev, st.st_ino});
  if (!is_new) return slot->second;
  const auto slash = path.rfind('/');
  std::string name =
      fmt::format("{}/link_remap.{}-{}", path.substr(0, slash == std::string::npos ? 0 : slash), tag_, names_.size());
  if (::linkat(AT_FDCWD, link.c_str(), AT_FDCWD, name.c_str(), AT_SYMLINK_FOLLOW) != 0) {
    const int why = errno;
    names_.erase(slot);
    throw Error(ErrorCode::refused, "giving an unlinked file a name", name, why)
        .with_hint("give the file a name in its old directory");
  }
  slot->second = name;
  return name;
}

}  // namespace crx
