#include "common/kernel/process/thawed_groups.hpp"

#include <unistd.h>

#include <exception>

#include "common/base/fd.hpp"
#include "common/base/log.hpp"
#include "common/kernel/process/freezer_group.hpp"

namespace crx {

void set_frozen(const std::string& group, bool frozen) {
  const std::string v2 = group + "/cgroup.freeze";
  if (::access(v2.c_str(), F_OK) == 0) {
    write_file(v2, frozen ? "1" : "0");
  } else {
    write_file(group + "/freezer.state", frozen ? "FROZEN" : "THAWED");
  }
}

void freeze_again(const std::vector<std::string>& groups) noexcept {
  for (const std::string& group : groups) {
    try {
      set_frozen(group, true);
    } catch (const std::exception& error) {
      log::warn("the control group {} is not frozen again: {}", group, error.what());
    }
  }
}

ThawedGroups::~ThawedGroups() {
  freeze_again(groups_);
}

void ThawedGroups::thaw_for(pid_t pid, const std::function<void(const std::string&)>& before) {
  for (const std::string& group : find_frozen_groups(pid)) {
    if (before) before(group);
    groups_.push_back(group);
    set_frozen(group, false);
  }
}

}  // namespace crx
