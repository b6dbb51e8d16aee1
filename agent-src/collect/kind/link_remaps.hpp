// Names for files whose names were removed while others are left somewhere (--link-remap).
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <map>
#include <string>
#include <utility>

namespace crx {

// Makes the names, and removes them again when it goes, unless they were handed over. If it does not come to that
// (SIGKILL) they stay: link_remap.TAG-N beside the file's old name.
class LinkRemaps {
 public:
  explicit LinkRemaps(std::string tag) : tag_(std::move(tag)) {}
  LinkRemaps(const LinkRemaps&) = delete;
  LinkRemaps& operator=(const LinkRemaps&) = delete;
  ~LinkRemaps();

  // The name of the file behind `link` (a /proc link), st its stat: made in the directory of `path`, its old name, when
  // it is first asked for. Throws Error(refused) that names the path.
  std::string name_for(const std::string& link, const std::string& path, const struct stat& st);
  // Whoever restores removes them.
  void hand_over() noexcept { names_.clear(); }

 private:
  std::string tag_;
  std::map<std::pair<dev_t, ino_t>, std::string> names_;
};

}  // namespace crx
