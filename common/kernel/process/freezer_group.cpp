#include "common/kernel/process/freezer_group.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <optional>
#include <sstream>
#include <utility>
#include <vector>

#include "common/base/backoff.hpp"
#include "common/base/directory.hpp"
#include "common/base/error.hpp"
#include "common/base/log.hpp"
#include "common/base/scope_exit.hpp"

namespace crx {
namespace {

constexpr const char* kFreezerGroupStep = "preparing the freezer group";
constexpr int64_t kDissolveMs = 1'000;

struct Hierarchy {
  std::string mount;
  std::string root;  // the directory of the hierarchy that is mounted there
  bool v2;
};

// Returns the hierarchies that can freeze, version 2 first. Parses /proc/self/mountinfo: field 4 is the root, field 5
// the mount point; type, source and super options follow " - ".
std::vector<Hierarchy> find_hierarchies() {
  std::istringstream lines(read_file("/proc/self/mountinfo"));
  std::vector<Hierarchy> found;
  for (std::string line; std::getline(lines, line);) {
    const auto dash = line.find(" - ");
    if (dash == std::string::npos) continue;
    std::istringstream left(line.substr(0, dash)), right(line.substr(dash + 3));
    std::string id, parent, dev, root, mount, type, source, options;
    left >> id >> parent >> dev >> root >> mount;
    right >> type >> source >> options;
    if (type == "cgroup2" && ::access(mount.c_str(), W_OK) == 0) found.insert(found.begin(), {mount, root, true});
    if (type == "cgroup" && ("," + options + ",").find(",freezer,") != std::string::npos)
      found.push_back({mount, root, false});
  }
  return found;
}

// Finds the line "0::PATH" (v2) or "N:freezer:PATH" in /proc/PID/cgroup. Returns nullopt where the file has no such
// line, or the process has ended.
std::optional<std::string> try_group_of(pid_t pid, bool v2) {
  std::istringstream lines(try_read_file("/proc/" + std::to_string(pid) + "/cgroup").value_or(""));
  for (std::string line; std::getline(lines, line);) {
    const auto first = line.find(':');
    const auto second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    if (v2 ? line.rfind("0::", 0) == 0 : controllers.find(",freezer,") != std::string::npos) {
      return line.substr(second + 1);
    }
  }
  return std::nullopt;
}

}  // namespace

FreezerGroup::FreezerGroup(std::string path, std::string parent, bool v2) noexcept
    : path_(std::move(path)), parent_(std::move(parent)), v2_(v2) {}

FreezerGroup::FreezerGroup(FreezerGroup&& other) noexcept
    : path_(std::exchange(other.path_, {})),
      parent_(other.parent_),
      v2_(other.v2_),
      owned_(std::move(other.owned_)),
      homes_(std::move(other.homes_)) {}

namespace {

struct Place {
  std::string path;
  bool v2;
};

// The directory of the group of this hierarchy in which a process is; nothing where it has ended, or is in none.
std::optional<std::string> try_group_in(const Hierarchy& hierarchy, pid_t pid) {
  std::optional<std::string> found = try_group_of(pid, hierarchy.v2);
  if (!found) return std::nullopt;
  std::string group = std::move(*found);
  if (hierarchy.root != "/" && group.rfind(hierarchy.root, 0) == 0) group.erase(0, hierarchy.root.size());
  if (group.rfind("/..", 0) == 0) group = "/";  // outside our cgroup namespace
  std::string path = hierarchy.mount + group;
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

// The same in the hierarchy that crx uses.
std::optional<Place> try_place_of(pid_t pid) {
  const std::vector<Hierarchy> hierarchies = find_hierarchies();
  if (hierarchies.empty()) {
    throw Error(ErrorCode::unsupported, kFreezerGroupStep, "no cgroup v2 and no v1 freezer hierarchy is mounted here")
        .with_hint("mount one: mount -t cgroup2 none /sys/fs/cgroup/unified");
  }
  std::optional<std::string> path = try_group_in(hierarchies.front(), pid);
  if (!path) return std::nullopt;
  return Place{std::move(*path), hierarchies.front().v2};
}

Place place_of(pid_t pid) {
  std::optional<Place> place = try_place_of(pid);
  if (place) return std::move(*place);
  static_cast<void>(read_file("/proc/" + std::to_string(pid) + "/cgroup"));  // throws where it has ended
  throw Error(ErrorCode::unsupported, kFreezerGroupStep, "the process is in no freezer hierarchy").with_pid(pid);
}

// Whether `path` is still this directory.
bool is_same_directory(const Fd& directory, const std::string& path) {
  struct stat ours {
  }, there{};
  return ::fstat(directory.get(), &ours) == 0 && ::stat(path.c_str(), &there) == 0 && ours.st_ino == there.st_ino &&
         ours.st_dev == there.st_dev;
}

// Makes the directory and locks it. remove_empty_groups() of another process may remove it in between.
Fd make_owned(const std::string& path) {
  for (;;) {
    if (::mkdir(path.c_str(), 0755) < 0 && errno != EEXIST) throw_errno(kFreezerGroupStep, path);
    Fd directory = try_open(path, O_RDONLY | O_DIRECTORY);
    if (!directory && errno == ENOENT) continue;
    if (!directory) throw_errno(kFreezerGroupStep, path);
    if (::flock(directory.get(), LOCK_SH) != 0) throw_errno(kFreezerGroupStep, path);
    if (is_same_directory(directory, path)) return directory;
  }
}

}  // namespace

void remove_empty_groups(pid_t pid) {
  const std::string parent = place_of(pid).path;
  for (const std::string& name : list_directory(parent).value_or(std::vector<std::string>())) {
    if (!name.starts_with("crx-")) continue;
    const std::string path = parent + "/" + name;
    const Fd directory = try_open(path, O_RDONLY | O_DIRECTORY);
    if (directory && ::flock(directory.get(), LOCK_EX | LOCK_NB) == 0) ::rmdir(path.c_str());
  }
}

std::string FreezerGroup::path_below(pid_t pid, const std::string& name) {
  return place_of(pid).path + "/crx-" + name;
}

FreezerGroup FreezerGroup::create_below(pid_t pid, const std::string& name) {
  return create(path_below(pid, name));
}

FreezerGroup FreezerGroup::create(const std::string& path) {
  Fd owned = make_owned(path);
  FreezerGroup group = open_existing(path);
  group.owned_ = std::move(owned);
  return group;
}

FreezerGroup FreezerGroup::open_existing(const std::string& path, std::map<pid_t, std::string> homes) {
  const auto slash = path.rfind('/');
  const bool v2 = ::access((path + "/cgroup.freeze").c_str(), F_OK) == 0;
  if (slash == std::string::npos || (!v2 && ::access((path + "/freezer.state").c_str(), F_OK) != 0)) {
    throw Error(ErrorCode::refused, kFreezerGroupStep, path + " is not a freezer group");
  }
  FreezerGroup group(path, path.substr(0, slash), v2);
  group.homes_ = std::move(homes);
  return group;
}

FreezerGroup::~FreezerGroup() {
  if (path_.empty()) return;
  try {
    dissolve();
  } catch (const std::exception& error) {
    log::warn("{}", error.what());
  }
}

void FreezerGroup::add(pid_t pid) {
  const std::optional<Place> place = try_place_of(pid);
  std::string home = place ? place->path : parent_;  // of a process that has ended, which the write below reports
  write_file(path_ + "/cgroup.procs", std::to_string(pid));
  if (home != parent_ && home != path_) homes_[pid] = std::move(home);
}

void FreezerGroup::freeze(Deadline deadline) {
  const std::string state = path_ + (v2_ ? "/cgroup.events" : "/freezer.state");
  write_file(path_ + (v2_ ? "/cgroup.freeze" : "/freezer.state"), v2_ ? "1" : "FROZEN");
  const Fd events = open_checked(state, O_RDONLY);
  for (Backoff backoff;; backoff.wait()) {
    const std::string text = read_fd(events.get(), state);
    if (text.find(v2_ ? "frozen 1" : "FROZEN") != std::string::npos) return;
    if (deadline.passed()) {
      thaw();
      throw Error(ErrorCode::kernel, "freezing", "the group " + path_ + " does not freeze")
          .with_hint("a task in it is in an uninterruptible wait; try again");
    }
  }
}

void FreezerGroup::thaw() {
  write_file(path_ + (v2_ ? "/cgroup.freeze" : "/freezer.state"), v2_ ? "0" : "THAWED");
}

bool FreezerGroup::is_frozen() const {
  const std::string text = read_file(path_ + (v2_ ? "/cgroup.events" : "/freezer.state"));
  return text.find(v2_ ? "frozen 1" : "FROZEN") != std::string::npos;
}

std::vector<pid_t> FreezerGroup::members() const {
  std::istringstream lines(read_file(path_ + "/cgroup.procs"));
  std::vector<pid_t> members;
  for (pid_t pid = 0; lines >> pid;) members.push_back(pid);
  return members;
}

void FreezerGroup::dissolve() {
  if (path_.empty()) return;
  thaw();
  const Deadline deadline = Deadline::in_ms(kDissolveMs);
  for (Backoff backoff;; backoff.wait()) {
    const std::string stays = move_members();
    if (::rmdir(path_.c_str()) == 0 || errno == ENOENT) break;
    if (!deadline.passed()) continue;
    if (!stays.empty()) throw Error(ErrorCode::kernel, "leaving the freezer group", stays);
    log::warn("the cgroup {} stays: {}", path_, std::strerror(errno));
    break;
  }
  abandon();
}

// Moves each member to its home, or else to the group above. A member may fork meanwhile, and an exiting one keeps the
// group busy for a moment. Returns which process could not be moved, and why; empty if all could.
std::string FreezerGroup::move_members() const {
  std::string stays;
  for (const pid_t pid : members()) {
    const auto home = homes_.find(pid);
    const std::string text = std::to_string(pid);
    const auto move_to = [&text](const std::string& group) {
      const Fd procs = try_open(group + "/cgroup.procs", O_WRONLY);
      return procs && (::write(procs.get(), text.data(), text.size()) >= 0 || errno == ESRCH);
    };
    if (home != homes_.end() && move_to(home->second)) continue;
    if (!move_to(parent_)) stays = fmt::format("process {} back to {}: {}", pid, parent_, std::strerror(errno));
  }
  return stays;
}

void FreezerGroup::abandon() noexcept {
  path_.clear();
  owned_.reset();
}

std::vector<std::string> find_frozen_groups(pid_t pid) {
  std::vector<std::string> frozen;
  for (const Hierarchy& hierarchy : find_hierarchies()) {
    const char* const file = hierarchy.v2 ? "/cgroup.freeze" : "/freezer.self_freezing";
    std::string path = try_group_in(hierarchy, pid).value_or("");
    for (; path.size() > hierarchy.mount.size(); path.erase(path.rfind('/'))) {
      if (try_read_file(path + file).value_or("0").starts_with("1")) frozen.push_back(path);
    }
  }
  return frozen;
}

std::optional<GroupView> look_at_group(const std::string& path) {
  if (path.empty() || ::access(path.c_str(), F_OK) != 0) return std::nullopt;
  FreezerGroup group = FreezerGroup::open_existing(path);
  const ScopeExit keep([&group] { group.abandon(); });
  return GroupView{group.members(), group.is_frozen()};
}

std::string group_name(const std::string& session) {
  return session.substr(0, 16);
}

Fd FreezerGroup::directory() const {
  return v2_ ? open_checked(path_, O_RDONLY | O_DIRECTORY) : Fd();
}

}  // namespace crx
