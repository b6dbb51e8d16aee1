#include "agent-dst/restore/process/cgroups.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <map>
#include <optional>
#include <sstream>

#include "common/base/error.hpp"
#include "common/base/fd.hpp"
#include "common/base/log.hpp"
#include "common/image/magic.hpp"
#include "common/image/schema/cgroup.pb.h"
#include "common/proc/mountinfo.hpp"
#include "common/proc/proc_dir.hpp"

namespace crx {
namespace {

constexpr int kDrainRounds = 16;  // limit for a program that forks all the time

std::vector<proc::MountEntry> cgroup_mounts() {
  std::vector<proc::MountEntry> mounts = proc::parse_mountinfo(read_file("/proc/self/mountinfo"));
  std::erase_if(mounts,
                [](const proc::MountEntry& mount) { return mount.fs_type != "cgroup" && mount.fs_type != "cgroup2"; });
  return mounts;
}

bool is_hierarchy_of(const proc::MountEntry& mount, const proc::CgroupEntry& home) {
  if (home.is_v2() || mount.fs_type == "cgroup2") return home.is_v2() && mount.fs_type == "cgroup2";
  const std::string options = "," + mount.super_options + ",";
  return !home.controllers.empty() &&
         std::all_of(home.controllers.begin(), home.controllers.end(),
                     [&](const std::string& name) { return options.find("," + name + ",") != std::string::npos; });
}

std::vector<proc::CgroupEntry> groups_of(pid_t pid) {
  const std::optional<ProcDir> process = ProcDir::open(pid);
  return process ? process->cgroups().value_or(std::vector<proc::CgroupEntry>()) : std::vector<proc::CgroupEntry>();
}

// Whether the task is in the group already. Moving it then would only wait for an RCU grace period, 7 ms and more
// (cgroup_threadgroup_rwsem).
bool is_in(const std::vector<proc::CgroupEntry>& current, const proc::CgroupEntry& home) {
  return std::any_of(current.begin(), current.end(), [&](const proc::CgroupEntry& entry) {
    return !entry.deleted && entry.is_v2() == home.is_v2() && entry.controllers == home.controllers &&
           entry.path == home.path;
  });
}

class Joiner {
 public:
  Joiner() : mounts_(cgroup_mounts()) {}

  void join(const CgroupWish& task) {
    const std::vector<proc::CgroupEntry> current = groups_of(task.pid);
    for (const proc::CgroupEntry& home : task.homes) {
      if (is_in(current, home)) continue;
      if (const auto dir = directory_of(home)) move(task.pid, *dir);
    }
  }

  void drain(const std::string& group, const CgroupWish& root) {
    const auto home = home_beside(group, root);
    if (!home) return;
    for (int round = 0; round < kDrainRounds; ++round) {
      std::istringstream pids(read_file(group + "/cgroup.procs"));
      bool any = false;
      for (std::string pid; pids >> pid; any = true) move(std::atoi(pid.c_str()), *home);
      if (!any) break;
    }
    if (::rmdir(group.c_str()) != 0) log::info("control group {} stays, since a process is still in it", group);
  }

 private:
  // Returns the directory of the group; makes it if it is missing.
  std::optional<std::string> directory_of(const proc::CgroupEntry& home) {
    const auto [slot, is_new] = made_.try_emplace({home.controllers, home.path});
    if (!is_new) return slot->second;
    if (!proc::is_plain_cgroup_path(home.path) || home.path == "/") return std::nullopt;
    for (const proc::MountEntry& mount : mounts_) {
      if (!is_hierarchy_of(mount, home)) continue;
      std::string path = home.path;
      if (mount.root != "/") {
        if (!path.starts_with(mount.root + "/")) continue;
        path.erase(0, mount.root.size());
      }
      if (make(mount.mount_point, path)) slot->second = mount.mount_point + path;
      return slot->second;
    }
    log::info("no cgroup hierarchy here has {}: group {} is left out",
              home.is_v2() ? "version 2" : home.controllers.front(), home.path);
    return std::nullopt;
  }

  static bool make(const std::string& at, const std::string& path) {
    for (std::size_t end = 0; end != std::string::npos;) {
      end = path.find('/', end + 1);
      const std::string dir = at + path.substr(0, end);
      if (::mkdir(dir.c_str(), 0755) == 0 || errno == EEXIST) continue;
      log::warn("cannot make control group {}: {}", dir, std::strerror(errno));
      return false;
    }
    return true;
  }

  static void move(pid_t pid, const std::string& dir) {
    try {
      write_file(dir + "/cgroup.procs", std::to_string(pid));
    } catch (const Error& error) {
      if (error.err() != ESRCH) log::warn("process {} cannot enter control group {}: {}", pid, dir, error.what());
    }
  }

  // Returns the root task's group in the hierarchy that `group` belongs to.
  std::optional<std::string> home_beside(const std::string& group, const CgroupWish& root) {
    const proc::MountEntry* in = nullptr;
    for (const proc::MountEntry& mount : mounts_) {
      if (group.starts_with(mount.mount_point + "/") &&
          (in == nullptr || mount.mount_point.size() > in->mount_point.size()))
        in = &mount;
    }
    for (const proc::CgroupEntry& home : root.homes) {
      if (in != nullptr && is_hierarchy_of(*in, home)) return directory_of(home);
    }
    return std::nullopt;
  }

  std::vector<proc::MountEntry> mounts_;
  std::map<std::pair<std::vector<std::string>, std::string>, std::optional<std::string>> made_;
};

}  // namespace

CgroupWish read_cgroup_wish(pid_t pid, const img::core_entry& core, const img::crx_task_entry& extra,
                            const ImageSource& images) {
  CgroupWish wish;
  wish.pid = pid;
  if (extra.has_cgroup()) {
    wish.homes = proc::parse_cgroup(extra.cgroup());
    return wish;
  }
  if (!core.tc().has_cg_set() || !images.contains(image_file::kCgroup)) return wish;
  const auto groups = images.read_one<img::cgroup_entry>(image_file::kCgroup);
  for (const img::cg_set_entry& set : groups.sets()) {
    if (set.id() != core.tc().cg_set()) continue;
    for (const img::cg_member_entry& member : set.ctls()) {
      wish.homes.push_back({member.name().empty() ? 0U : 1U, {member.name()}, member.path(), false});
    }
  }
  return wish;
}

void join_cgroups(const std::vector<CgroupWish>& tasks, const std::string& group) noexcept {
  try {
    Joiner joiner;
    for (const CgroupWish& task : tasks) joiner.join(task);
    if (!group.empty() && !tasks.empty()) joiner.drain(group, tasks.front());
  } catch (const std::exception& error) {
    log::warn("cannot put the tasks into their control groups: {}", error.what());
  }
}

}  // namespace crx
