#include "agent-dst/restore/sockets/bound_path.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/sockios.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/fsuid.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <string_view>
#include <thread>

#include "common/base/directory.hpp"
#include "common/base/error.hpp"
#include "common/base/log.hpp"
#include "common/base/scope_exit.hpp"
#include "common/kernel/sockets/unix_diag.hpp"

#ifndef SIOCUNIXFILE
#define SIOCUNIXFILE (SIOCPROTOPRIVATE + 0)
#endif

namespace crx {
namespace {

constexpr char kBoundPathStep[] = "binding a unix socket";
constexpr char kTemporary[] = "/tmp";

std::string path_of(const std::string& sun_path) {
  return sun_path.substr(0, sun_path.find('\0'));
}

std::vector<std::string> components(const std::string& path) {
  std::vector<std::string> parts;
  for (std::size_t at = 0; at < path.size();) {
    const std::size_t end = std::min(path.find('/', at), path.size());
    if (end > at) parts.push_back(path.substr(at, end - at));
    at = end + 1;
  }
  return parts;
}

// setfsuid(2) tells the present id when it cannot succeed.
uid_t fs_uid() {
  return static_cast<uid_t>(::setfsuid(static_cast<uid_t>(-1)));
}

constexpr std::string_view kFolderPrefix = ".crx-socket-";
constexpr int64_t kStaleAfterS = 60;

// Removes folders of the calling thread's user whose owners were killed: their locks are free.
void remove_stale(const std::string& directory) {
  std::error_code ignored;
  for (const std::string& name : list_directory(directory).value_or(std::vector<std::string>())) {
    const std::string path = directory + "/" + name;
    struct stat st {};
    if (!name.starts_with(kFolderPrefix) || ::lstat(path.c_str(), &st) != 0) continue;
    if (!S_ISDIR(st.st_mode) || st.st_uid != fs_uid() || ::time(nullptr) - st.st_mtime < kStaleAfterS) continue;
    const Fd folder = try_open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (!folder || ::flock(folder.get(), LOCK_EX | LOCK_NB) != 0) continue;
    log::info("removing {}, which an agent that was killed has left behind", path);
    std::filesystem::remove_all(path, ignored);
  }
}

// Throws if the name is occupied: by a file that is no socket, or by a socket in use. path: for the message.
void check_occupant(const std::string& place, const std::string& path) {
  struct stat st {};
  if (::lstat(place.c_str(), &st) != 0) return;
  if (!S_ISSOCK(st.st_mode)) {
    throw Error(ErrorCode::refused, kBoundPathStep, path + ": another file has this name here").with_hint("remove it");
  }
  for (const UnixSocketInfo& other : list_unix_sockets()) {
    if (!other.has_file || other.file_dev != st.st_dev || other.file_inode != static_cast<uint32_t>(st.st_ino))
      continue;
    throw Error(ErrorCode::refused, kBoundPathStep, path + ": another program here uses a socket of this name")
        .with_hint("end that program, or remove its socket");
  }
}

std::string directory_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace

std::string printable_socket_name(const std::string& sun_path) {
  std::string text = is_abstract(sun_path) ? "@" + sun_path.substr(1) : path_of(sun_path);
  std::replace_if(
      text.begin(), text.end(), [](char c) { return std::isprint(static_cast<unsigned char>(c)) == 0; }, '?');
  return text;
}

UnixAddress unix_address(const std::string& sun_path) {
  UnixAddress result;
  result.address.sun_family = AF_UNIX;
  if (sun_path.empty() || sun_path.size() > sizeof result.address.sun_path) {
    throw Error(ErrorCode::corrupt_image, kBoundPathStep, fmt::format("a name of {} bytes", sun_path.size()));
  }
  std::memcpy(result.address.sun_path, sun_path.data(), sun_path.size());
  result.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + sun_path.size());
  return result;
}

UnixAddress address_of_fd(int bound) {
  return unix_address(fmt::format("/proc/self/fd/{}", bound));
}

BoundPath::BoundPath(int fd, const std::string& sun_path, const std::string& final_path, User user)
    : user_(user), final_(final_path) {
  ScopeExit undo([this] { remove_folder(); });
  make_folder(sun_path);
  {
    const auto credentials = as_user();
    if (!final_.empty()) check_occupant(place_, final_);
    enter_folder(sun_path);
    bind_inside(fd, sun_path);
  }
  file_.reset(::ioctl(fd, SIOCUNIXFILE));
  if (!file_) throw_errno(kBoundPathStep, printable_socket_name(sun_path));
  if (!final_.empty()) undo.release();
}

BoundPath::~BoundPath() {
  remove_folder();
}

std::unique_ptr<FsCredentials> BoundPath::as_user() const {
  return by_agent_ ? nullptr : user_.files.as(user_.task);
}

bool BoundPath::try_make_folder() {
  const std::string directory = fmt::format("/proc/self/fd/{}", directory_.get());
  remove_stale(directory);
  std::string folder = fmt::format("{}/{}XXXXXX", directory, kFolderPrefix);
  if (::mkdtemp(folder.data()) == nullptr) return false;
  folder_ = folder;
  if (!final_.empty()) place_ = directory + final_.substr(final_.rfind('/'));
  return true;
}

void BoundPath::make_folder(const std::string& sun_path) {
  by_agent_ = final_.empty();
  const std::string directory = final_.empty() ? kTemporary : directory_of(final_);
  const auto make = [&] {
    directory_ = try_open(directory, O_PATH | O_DIRECTORY);
    return directory_ && try_make_folder();
  };
  const auto make_by_agent = [&] {
    by_agent_ = true;
    directory_ = try_find(AT_FDCWD, directory, O_DIRECTORY);
    return directory_ && try_make_folder();
  };
  if (by_agent_ ? make() : user_.files.act_as(user_.task, make, make_by_agent)) return;
  throw Error(ErrorCode::refused, kBoundPathStep,
              fmt::format("{}: nothing can be made in {}", printable_socket_name(sun_path), directory), errno)
      .with_hint("make this directory, and let the agent write there");
}

// Makes the directories of the path in the folder.
void BoundPath::enter_folder(const std::string& sun_path) {
  lock_ = open_checked(folder_, O_RDONLY | O_DIRECTORY);
  static_cast<void>(::flock(lock_.get(), LOCK_EX | LOCK_NB));
  const std::string path = path_of(sun_path);
  std::vector<std::string> parts = components(path);
  if (parts.empty() || parts.back() == "." || parts.back() == ".." || path.back() == '/') {
    throw Error(ErrorCode::corrupt_image, kBoundPathStep, printable_socket_name(sun_path) + " is no path of a socket");
  }
  const std::string last = parts.back();
  parts.pop_back();
  std::vector<std::string> at;
  const auto enter = [&](const std::string& name) {
    at.push_back(name);
    std::string directory_path = folder_;
    for (const std::string& part : at) directory_path += "/" + part;
    if (::mkdir(directory_path.c_str(), 0700) == 0) {
      made_.push_back(directory_path);
    } else if (errno != EEXIST) {
      throw_errno(kBoundPathStep, directory_path);
    }
  };
  // Start so deep that the path does not leave the folder.
  if (path.front() != '/') {
    for (auto up = std::count(parts.begin(), parts.end(), ".."); up > 0; --up) enter("d");
  }
  start_ = "/";
  for (const std::string& part : at) start_ += part + "/";
  for (const std::string& part : parts) {
    if (part == ".") continue;
    if (part != "..") {
      enter(part);
    } else if (!at.empty()) {
      at.pop_back();
    }
  }
  inner_ = folder_;
  for (const std::string& part : at) inner_ += "/" + part;
  inner_ += "/" + last;
}

// Runs in a thread, which gets its own root directory, working directory and umask.
void BoundPath::bind_inside(int fd, const std::string& sun_path) {
  const UnixAddress address = unix_address(sun_path);
  int err = 0;
  std::thread binder([&] {
    const bool done = ::unshare(CLONE_FS) == 0 && ::chroot(folder_.c_str()) == 0 && ::chdir(start_.c_str()) == 0 &&
                      (::umask(0), ::bind(fd, reinterpret_cast<const sockaddr*>(&address.address), address.size)) == 0;
    err = done ? 0 : errno;
  });
  binder.join();
  if (err != 0) throw_errno(kBoundPathStep, printable_socket_name(sun_path), err);
}

bool BoundPath::is_for(const std::string& path) const {
  if (final_.empty()) return false;
  std::error_code ignored;
  const std::filesystem::path final(final_);
  return std::filesystem::canonical(final.parent_path(), ignored) / final.filename() == path;
}

Fd BoundPath::open_path(int flags) const {
  const auto credentials = as_user();
  return open_checked(inner_, flags | O_PATH);
}

void BoundPath::set_owner(uint32_t mode, uint32_t uid, uint32_t gid) {
  const std::string link = fmt::format("/proc/self/fd/{}", file_.get());
  const auto change = [&] {
    const bool owned = ::chown(link.c_str(), uid, gid) == 0 || (errno == EPERM && !user_.files.agent_helps());
    return owned && ::chmod(link.c_str(), mode & 07777) == 0;
  };
  if (!(by_agent_ ? change() : user_.files.act_as(user_.task, change))) throw_errno(kBoundPathStep, final_);
}

void BoundPath::publish() {
  if (final_.empty() || placed_) return;
  const auto credentials = as_user();
  check_occupant(place_, final_);
  if (::renameat2(AT_FDCWD, inner_.c_str(), AT_FDCWD, place_.c_str(), RENAME_NOREPLACE) != 0) {
    if (errno != EEXIST) throw_errno("putting a socket into its place", final_);
    if (::renameat2(AT_FDCWD, inner_.c_str(), AT_FDCWD, place_.c_str(), RENAME_EXCHANGE) != 0) {
      throw_errno("putting a socket into its place", final_);
    }
    replaced_ = true;
  }
  placed_ = true;
}

void BoundPath::rollback() noexcept {
  if (!placed_) return;
  placed_ = false;
  try {
    const auto credentials = as_user();
    const int failed = replaced_ ? ::renameat2(AT_FDCWD, inner_.c_str(), AT_FDCWD, place_.c_str(), RENAME_EXCHANGE)
                                 : ::unlink(place_.c_str());
    if (failed != 0) log::error("{}: cannot put the previous socket back: {}", final_, ::strerror(errno));
  } catch (const Error& error) {
    log::error("{}: cannot put the previous socket back: {}", final_, error.what());
  }
}

void BoundPath::remove_folder() noexcept {
  if (folder_.empty()) return;
  try {
    const auto credentials = as_user();
    if (!inner_.empty()) ::unlink(inner_.c_str());
    for (auto made = made_.rbegin(); made != made_.rend(); ++made) ::rmdir(made->c_str());
    if (::rmdir(folder_.c_str()) != 0) log::warn("cannot remove {}: {}", folder_, ::strerror(errno));
  } catch (const Error& error) {
    log::warn("cannot remove {}: {}", folder_, error.what());
  }
  folder_.clear();
}

}  // namespace crx
