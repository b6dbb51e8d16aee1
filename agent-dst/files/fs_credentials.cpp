#include "agent-dst/files/fs_credentials.hpp"

#include <fmt/format.h>
#include <linux/capability.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/base/error.hpp"
#include "common/base/log.hpp"

namespace crx {
namespace {

constexpr char kFsCredentialsStep[] = "using files as the task does";

constexpr uint64_t bit(unsigned capability) {
  return uint64_t{1} << capability;
}

// The capabilities that follow the filesystem uid (CAP_FS_MASK of the kernel).
constexpr uint64_t kOverFiles = bit(CAP_CHOWN) | bit(CAP_MKNOD) | bit(CAP_DAC_OVERRIDE) | bit(CAP_DAC_READ_SEARCH) |
                                bit(CAP_FOWNER) | bit(CAP_FSETID) | bit(CAP_LINUX_IMMUTABLE) | bit(CAP_MAC_OVERRIDE);

struct Capabilities {
  uint64_t effective = 0, permitted = 0, inheritable = 0;
};

// The calls, since the C library has none: the sets of the calling thread.
bool get(Capabilities& sets) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};
  if (::syscall(SYS_capget, &header, data) != 0) return false;
  sets.effective = data[0].effective | uint64_t{data[1].effective} << 32;
  sets.permitted = data[0].permitted | uint64_t{data[1].permitted} << 32;
  sets.inheritable = data[0].inheritable | uint64_t{data[1].inheritable} << 32;
  return true;
}

bool set_effective(uint64_t effective) {
  Capabilities sets;
  if (!get(sets)) return false;
  if (sets.effective == effective) return true;
  const auto low = [](uint64_t set) { return static_cast<uint32_t>(set); };
  const auto high = [](uint64_t set) { return static_cast<uint32_t>(set >> 32); };
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  const __user_cap_data_struct data[2] = {{low(effective), low(sets.permitted), low(sets.inheritable)},
                                          {high(effective), high(sets.permitted), high(sets.inheritable)}};
  return ::syscall(SYS_capset, &header, data) == 0;
}

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
  if (count < 0 || ::getgroups(count, groups.data()) < 0) throw_errno(kFsCredentialsStep, "groups");
  return groups;
}

// The C library's setgroups(3) would change all threads.
bool set_groups(const std::vector<uint32_t>& groups) {
  return ::syscall(SYS_setgroups, groups.size(), groups.data()) == 0;
}

}  // namespace

OwnFsIds own_fs_ids() {
  Capabilities sets;
  if (!get(sets)) throw_errno(kFsCredentialsStep, "capabilities");
  OwnFsIds own{{fs_uid(), fs_gid(), own_groups(), sets.effective}, sets.permitted, 1, 0};
  own.dumpable = ::prctl(PR_GET_DUMPABLE, 0, 0, 0, 0);
  static_cast<void>(::prctl(PR_GET_PDEATHSIG, &own.death_signal, 0, 0, 0));
  return own;
}

FsCredentials::FsCredentials(const FsIds& ids, const OwnFsIds& own) : own_(own) {
  const uint64_t capabilities = (own.ids.capabilities & ~kOverFiles) | (ids.capabilities & own.permitted & kOverFiles);
  if (FsIds{ids.uid, ids.gid, ids.groups, capabilities} == own.ids) return;
  changed_ = true;
  if (take(ids, capabilities)) return;
  restore();
  throw Error(ErrorCode::kernel, kFsCredentialsStep, fmt::format("the ids {} and {} cannot be had", ids.uid, ids.gid));
}

bool FsCredentials::take(const FsIds& ids, uint64_t capabilities) noexcept {
  if (ids.groups != own_.ids.groups) {
    if (!set_groups(ids.groups)) return false;
    grouped_ = true;
  }
  static_cast<void>(::setfsgid(ids.gid));
  static_cast<void>(::setfsuid(ids.uid));
  return fs_uid() == ids.uid && fs_gid() == ids.gid && set_effective(capabilities);
}

FsCredentials::~FsCredentials() {
  if (changed_) restore();
}

// A change of these ids makes the process undumpable, which its forks would inherit, and forgets the signal that it
// gets when its parent ends.
void FsCredentials::restore() noexcept {
  static_cast<void>(::setfsuid(own_.ids.uid));
  static_cast<void>(::setfsgid(own_.ids.gid));
  const bool grouped = !grouped_ || set_groups(own_.ids.groups);
  if (!set_effective(own_.ids.capabilities) || !grouped || fs_uid() != own_.ids.uid)
    log::error("cannot return to the agent's ids");
  if (own_.dumpable == 0 || own_.dumpable == 1) static_cast<void>(::prctl(PR_SET_DUMPABLE, own_.dumpable, 0, 0, 0));
  if (own_.death_signal != 0) static_cast<void>(::prctl(PR_SET_PDEATHSIG, own_.death_signal, 0, 0, 0));
}

}  // namespace crx
