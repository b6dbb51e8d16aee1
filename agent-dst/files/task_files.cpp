#include "agent-dst/files/task_files.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <memory>
#include <string_view>

#include "common/base/error.hpp"

namespace crx {
namespace {

constexpr std::string_view kProcPrefix = "/proc/";

bool lacks_permission(int err) {
  return err == EACCES || err == EPERM;
}

// Whether the name is that of a namespace in a directory /proc/PID.
bool is_namespace(std::string_view name) {
  static constexpr std::array<std::string_view, 8> kKinds = {"cgroup", "ipc",  "mnt",  "net",
                                                             "pid",    "time", "user", "uts"};
  return name.starts_with("ns/") && std::find(kKinds.begin(), kKinds.end(), name.substr(3)) != kKinds.end();
}

std::string link_to(int found) {
  return fmt::format("/proc/self/fd/{}", found);
}

bool is_same_file(int one, int other) {
  struct stat a {};
  struct stat b {};
  return ::fstat(one, &a) == 0 && ::fstat(other, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

}  // namespace

// Looks at files as the task does. What it may not read is read with the agent's rights for a source that may have root
// tasks, which could read it as well.
class TaskFiles::Reader final : public FileAccess {
 public:
  Reader(const TaskFiles& files, pid_t task, std::function<void(uint64_t)> before_piece)
      : files_(files), task_(task), before_piece_(std::move(before_piece)) {}

  Fd find(const std::string& path, int flags) const override { return files_.find_to_compare(task_, path, flags); }
  Fd read(int found) const override {
    return files_.get(task_, [&] { return try_open(link_to(found), O_RDONLY | O_NONBLOCK); });
  }
  void before_piece(uint64_t bytes) const override {
    if (before_piece_) before_piece_(bytes);
  }

 private:
  const TaskFiles& files_;
  pid_t task_;
  std::function<void(uint64_t)> before_piece_;
};

void TaskFiles::set(pid_t task, FsIds ids) {
  if (tasks_.empty()) first_ = task;
  tasks_[task] = std::move(ids);
}

const FsIds* TaskFiles::ids_of(pid_t task) const {
  const auto own = tasks_.find(task);
  const auto found = own != tasks_.end() ? own : tasks_.find(first_);
  return found == tasks_.end() ? nullptr : &found->second;
}

std::string TaskFiles::user_of(pid_t task) const {
  const FsIds* ids = ids_of(task);
  return ids == nullptr ? std::string("its user") : fmt::format("uid {}", ids->uid);
}

std::unique_ptr<FsCredentials> TaskFiles::as(pid_t task) const {
  const FsIds* ids = ids_of(task);
  if (ids != nullptr) return std::make_unique<FsCredentials>(*ids, own_);
  if (agent_ == Agent::anything) return nullptr;
  throw Error(ErrorCode::refused, "opening files", "whose files these are is not known").with_pid(task);
}

bool TaskFiles::act_as(pid_t task, const std::function<bool()>& act, const std::function<bool()>& again) const {
  bool done = false;
  int err = 0;
  {
    const std::unique_ptr<FsCredentials> as_task = as(task);
    done = act();
    err = errno;
  }
  errno = err;
  if (done || !lacks_permission(err) || agent_ == Agent::nothing) return done;
  return again ? again() : act();
}

bool TaskFiles::act_on(pid_t task, int found, const std::function<bool()>& act) const {
  return act_as(task, act, [&] {
    if (agent_may(found)) return act();
    errno = EACCES;
    return false;
  });
}

Fd TaskFiles::get(pid_t task, const std::function<Fd()>& open) const {
  Fd fd;
  static_cast<void>(act_as(task, [&] {
    fd = open();
    return static_cast<bool>(fd);
  }));
  return fd;
}

Fd TaskFiles::find_to_compare(pid_t task, const std::string& path, int flags) const {
  return get(task, [&] { return try_find(AT_FDCWD, path, flags); });
}

Fd TaskFiles::find(pid_t task, const std::string& path, int flags) const {
  // These names are links of /proc, but to nothing else than a namespace of the tree.
  if (is_namespace(name_of_own_task(path))) return try_open(path, O_PATH);
  Fd found;
  const auto look = [&] {
    found = try_find(AT_FDCWD, path, flags);
    return static_cast<bool>(found);
  };
  const auto as_agent = [&] {
    if (!look()) return false;
    if (agent_may(found.get())) return true;
    found.reset();
    errno = EACCES;
    return false;
  };
  static_cast<void>(act_as(task, look, as_agent));
  return found;
}

Fd TaskFiles::open(pid_t task, int found, const std::string& path, int flags) const {
  Fd file;
  const auto open = [&] {
    file = try_open((flags & O_NOFOLLOW) != 0 ? path : link_to(found), flags);
    return static_cast<bool>(file);
  };
  const bool done = is_of_own_task(path) ? open() : act_on(task, found, open);
  if (done && (flags & O_NOFOLLOW) != 0 && !is_same_file(found, file.get())) {
    file.reset();
    errno = ESTALE;
  }
  return file;
}

bool TaskFiles::may_open(pid_t task, int found, uint32_t access) const {
  const int wanted = access == O_RDONLY ? R_OK : access == O_WRONLY ? W_OK : R_OK | W_OK;
  return act_on(task, found, [&] { return ::faccessat(AT_FDCWD, link_to(found).c_str(), wanted, AT_EACCESS) == 0; });
}

bool TaskFiles::agent_may(int found) const {
  if (agent_ == Agent::anything) return true;
  struct stat st {};
  struct statfs fs {};
  if (agent_ == Agent::nothing || ::fstat(found, &st) != 0 || ::fstatfs(found, &fs) != 0) return false;
  return fs.f_type == PROC_SUPER_MAGIC || numbers_.contains({st.st_dev, st.st_ino});
}

// Whether the path is that of a file of /proc which each task of the tree can open about itself as soon as it has its
// own credentials, and only root before that.
bool TaskFiles::is_of_own_task(const std::string& path) const {
  static constexpr std::array<std::string_view, 8> kNames = {"auxv",      "environ", "io",    "maps",
                                                             "numa_maps", "mem",     "smaps", "smaps_rollup"};
  const std::string_view name = name_of_own_task(path);
  return std::find(kNames.begin(), kNames.end(), name) != kNames.end() || is_namespace(name);
}

// Returns the part of the path behind /proc/PID/ if PID is a task of the tree; else an empty one.
std::string_view TaskFiles::name_of_own_task(const std::string& path) const {
  if (!path.starts_with(kProcPrefix)) return {};
  pid_t pid = 0;
  const char* end = path.data() + path.size();
  const auto [rest, error] = std::from_chars(path.data() + kProcPrefix.size(), end, pid);
  if (error != std::errc() || rest == end || *rest != '/' || !made_.contains(pid)) return {};
  return {rest + 1, static_cast<std::size_t>(end - rest - 1)};
}

std::optional<std::string> TaskFiles::compare(pid_t task, const FileIdentity& wanted, bool same_kernel,
                                              std::function<void(uint64_t)> before_piece) {
  FileStamp here;
  const Reader reader(*this, task, std::move(before_piece));
  if (auto difference = file_difference(wanted, same_kernel, reader, &here)) return difference;
  numbers_.insert({here.dev, here.ino});
  const bool told = !wanted.digest.empty() || !wanted.build_id.empty();
  if (told && !wanted.writable) compared_[wanted.path] = {wanted, here, same_kernel};
  return std::nullopt;
}

std::optional<std::string> TaskFiles::difference_since(pid_t task, const std::string& path, int found) const {
  const auto known = compared_.find(path);
  if (known == compared_.end() || known->second.here == stamp_of(found, path)) return std::nullopt;
  return file_difference(found, known->second.wanted, known->second.same_kernel, Reader(*this, task, {}));
}

}  // namespace crx
