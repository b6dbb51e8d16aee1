#include "agent-dst/files/fs_credentials.hpp"

#include <fmt/format.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/base/error.hpp"
#include "common/base/log.hpp"

namespace crx {
namespace {

// setfsuid(2) and setfsgid(2) report no failure; a call that cannot succeed tells the present id.
uint32_t fs_uid() {
  return static_cast<uint32_t>(::setfsuid(static_cast<uid_t>(-1)));
}
uint32_t fs_gid() {
  return static_cast<uint32_t>(::setfsgid(static_cast<gid_t>(-1)));
}

std::vector<uint32_t> own_groups() {
  const int count = ::getgroups(0, nullptr);
  std::vector<uint32_t> groups(count > 0 ? static_cast<std::size_t>(count) : 0);
  if (count < 0 || ::getgroups(count, groups.data()) < 0) throw_errno("using files as the task does", "groups");
  return groups;
}

// The C library's setgroups(3) would change all threads.
bool set_groups(const std::vector<uint32_t>& groups) {
  return ::syscall(SYS_setgroups, groups.size(), groups.data()) == 0;
}

}  // namespace

FsCredentials::FsCredentials(const FsIds& ids)
    : uid_(fs_uid()), gid_(fs_gid()), groups_(own_groups()), dumpable_(::prctl(PR_GET_DUMPABLE, 0, 0, 0, 0)) {
  const bool grouped = set_groups(ids.groups);
  static_cast<void>(::setfsgid(ids.gid));
  static_cast<void>(::setfsuid(ids.uid));
  if (grouped && fs_uid() == ids.uid && fs_gid() == ids.gid) return;
  restore();
  throw Error(ErrorCode::kernel, "using files as the task does",
              fmt::format("the ids {} and {} cannot be had", ids.uid, ids.gid));
}

FsCredentials::~FsCredentials() {
  restore();
}

// A change of these ids makes the process undumpable, which its forks would inherit.
void FsCredentials::restore() noexcept {
  static_cast<void>(::setfsuid(uid_));
  static_cast<void>(::setfsgid(gid_));
  if (!set_groups(groups_) || fs_uid() != uid_) log::error("cannot return to the agent's ids");
  if (dumpable_ == 0 || dumpable_ == 1) static_cast<void>(::prctl(PR_SET_DUMPABLE, dumpable_, 0, 0, 0));
}

}  // namespace crx
