#include "agent-dst/policy/policy.hpp"

#include <fmt/format.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/stat.h>

#include <algorithm>
#include <set>
#include <utility>

#include "common/base/error.hpp"

namespace crx {
namespace {

constexpr char kPolicyStep[] = "keeping to the rules of this host";
// A task may set these without privileges: PR_SET_KEEPCAPS, and from Linux 6.14 on the four of AT_EXECVE_CHECK.
constexpr uint32_t kFreeSecurebits = SECBIT_KEEP_CAPS | 0xfU << 8;

// The last number is no id: to setresuid(2) it means that an id stays as it is, the agent's.
bool contains(const std::vector<IdRange>& ranges, uint32_t id) {
  if (id == UINT32_MAX) return false;
  return ranges.empty() || std::any_of(ranges.begin(), ranges.end(),
                                       [id](const IdRange& range) { return range.first <= id && id <= range.last; });
}

uint64_t to_mib(uint64_t bytes) {
  return (bytes >> 20) + ((bytes & ((1 << 20) - 1)) != 0 ? 1 : 0);
}

void add_ids(const char* kind, const std::set<uint32_t>& ids, const std::vector<IdRange>& allowed, const char* remedy,
             std::vector<Breach>& breaches) {
  for (const uint32_t id : ids) {
    if (!contains(allowed, id)) breaches.push_back({fmt::format("{} {}", kind, id), "is not allowed here", remedy});
  }
}

Error refusal(const Breach& breach) {
  return Error(ErrorCode::refused, kPolicyStep,
               breach.object + (breach.object == "memory" ? ": " : " ") + breach.reason)
      .with_hint(breach.remedy);
}

void require(const std::optional<Breach>& breach) {
  if (breach) throw refusal(*breach);
}

}  // namespace

bool Policy::allows_uid(uint32_t uid) const noexcept {
  return contains(uids, uid);
}

bool Policy::allows_gid(uint32_t gid) const noexcept {
  return contains(gids, gid);
}

uint64_t Policy::allowed_capabilities() const noexcept {
  if (capabilities) return *capabilities;
  return allows_uid(0) ? kAllCapabilities : 0;
}

uint64_t Policy::image_limit() const noexcept {
  if (max_image_memory != 0) return max_image_memory;
  return max_memory == 0 ? kMostImageBytes : std::min(max_memory, kMostImageBytes);
}

const std::string* Policy::directory_of(const std::string& path) const noexcept {
  const std::string text = path + "/";
  for (const char* odd : {"//", "/./", "/../"}) {
    if (text.find(odd) != std::string::npos) return nullptr;
  }
  const auto holds = [&](const std::string& directory) {
    return path.size() > directory.size() + 1 && path.starts_with(directory) &&
           (directory == "/" || path[directory.size()] == '/');
  };
  const auto found = std::find_if(files.begin(), files.end(), holds);
  return path.starts_with('/') && found != files.end() ? &*found : nullptr;
}

void Policy::check_file(const std::string& path, uint32_t mode, uint32_t uid, uint32_t gid) const {
  const bool as_user = (mode & S_ISUID) != 0, as_group = (mode & S_ISGID) != 0;
  const bool all = allowed_capabilities() == kAllCapabilities;
  if ((as_user && (!allows_uid(uid) || (uid == 0 && !all))) || (as_group && !allows_gid(gid)))
    throw refusal({path, "has set-id bits that are not allowed here", "see --allow-uid and --allow-gid of crx-agent"});
  if ((S_ISCHR(mode) || S_ISBLK(mode)) && (allowed_capabilities() >> CAP_MKNOD & 1) == 0)
    throw refusal({path, "is a deleted device, which needs CAP_MKNOD, which is not allowed here",
                   "see --allow-capabilities of crx-agent"});
}

std::vector<Breach> Policy::breaches(const TaskCredentials& credentials) const {
  std::vector<Breach> found;
  add_ids("uid", {credentials.uids.begin(), credentials.uids.end()}, uids, "see --allow-uid of crx-agent", found);
  std::set<uint32_t> groups(credentials.gids.begin(), credentials.gids.end());
  groups.insert(credentials.groups.begin(), credentials.groups.end());
  add_ids("gid", groups, gids, "see --allow-gid of crx-agent", found);
  uint64_t has = credentials.inheritable | credentials.permitted | credentials.effective | credentials.ambient;
  if (std::count(credentials.uids.begin(), credentials.uids.end(), 0) > 0) has |= credentials.bounding;
  const uint64_t allowed = allowed_capabilities();
  constexpr char kRemedy[] = "see --allow-capabilities of crx-agent";
  if (const uint64_t over = has & ~allowed; over != 0)
    found.push_back({capability_names(over), "is not allowed here", kRemedy});
  if ((credentials.securebits & ~kFreeSecurebits) != 0 && (allowed >> CAP_SETPCAP & 1) == 0)
    found.push_back({fmt::format("securebits {:#x}", credentials.securebits),
                     "need CAP_SETPCAP, which is not allowed here", kRemedy});
  return found;
}

void Policy::check(const TaskCredentials& credentials, pid_t pid) const {
  const std::vector<Breach> found = breaches(credentials);
  if (!found.empty()) throw refusal(found.front()).with_pid(pid);
}

void Policy::check_capability(unsigned capability, const std::string& object) const {
  const uint64_t needed = uint64_t{1} << capability;
  if ((allowed_capabilities() & needed) == 0)
    throw refusal({object, fmt::format("needs {}, which is not allowed here", capability_names(needed)),
                   "see --allow-capabilities of crx-agent"});
}

std::optional<Breach> Policy::memory_breach(uint64_t bytes) const {
  if (max_memory == 0 || bytes <= max_memory) return std::nullopt;
  return Breach{"memory", fmt::format("{} MiB are more than a session may have here", to_mib(bytes)),
                "see --max-memory of crx-agent"};
}

void Policy::check_memory(uint64_t bytes) const {
  require(memory_breach(bytes));
}

std::optional<Breach> Policy::tasks_breach(uint64_t tasks) const {
  if (max_tasks == 0 || tasks <= max_tasks) return std::nullopt;
  return Breach{fmt::format("{} tasks", tasks), "are more than a session may have here",
                "see --max-tasks of crx-agent"};
}

void Policy::check_tasks(uint64_t tasks) const {
  require(tasks_breach(tasks));
}

void Policy::check_images(uint64_t bytes) const {
  if (bytes <= image_limit()) return;
  throw refusal({fmt::format("{} MiB of images", to_mib(bytes)), "are more than a session may have here",
                 "see --max-image-memory of crx-agent"});
}

void Policy::check_descriptors(uint64_t descriptors) const {
  if (descriptors <= kMostDescriptors) return;
  throw refusal(
      {fmt::format("{} descriptors", descriptors), "are more than a session may have here", "close some of them"});
}

}  // namespace crx
