// Makes names for files whose names were removed while others are left somewhere (--link-remap).
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <map>
#include <string>
#include <utility>

namespace crx {

// Makes the names; the destructor removes them again unless hand_over() was called. After a SIGKILL they stay behind:
// link_remap.TAG-N beside the file's old name.
class LinkRemaps {
 public:
  explicit LinkRemaps(std::string tag) : tag_(std::move(tag)) {}
  LinkRemaps(const LinkRemaps&) = delete;
  LinkRemaps& operator=(const LinkRemaps&) = delete;
  ~LinkRemaps();

  // Returns the name for the file behind `link` (a /proc link); st is its stat(2). Makes the name in the directory of
  // `path`, its old name, on the first call for the file. Throws Error(refused) that names the path.
  std::string name_for(const std::string& link, const std::string& path, const struct stat& st);
  // From now on the restoring host removes the names.
  void hand_over() noexcept { names_.clear(); }

 private:
  std::string tag_;
  std::map<std::pair<dev_t, ino_t>, std::string> names_;
};

}  // namespace crx
