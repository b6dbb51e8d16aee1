#include "agent-src/preflight/used_files.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <algorithm>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "agent-src/collect/kind/file_name.hpp"
#include "agent-src/tree/open_file.hpp"
#include "common/base/directory.hpp"
#include "common/base/error.hpp"
#include "common/base/fd.hpp"
#include "common/base/log.hpp"
#include "common/kernel/sockets/unix_diag.hpp"
#include "common/proc/text.hpp"

namespace crx {
namespace {

bool is_deleted(const std::string& link, const std::string& target) {
  struct stat file {};
  return target.ends_with(proc::kDeleted) && (::stat(link.c_str(), &file) != 0 || !leads_to(target, file));
}

// Whether the link of /proc shows a path that leads to the file: not "pipe:[1]", "/memfd:x (deleted)",
// "anon_inode:...".
bool is_named(const std::string& link, const std::string& target) {
  return target.starts_with('/') && !target.starts_with("/memfd:") && !target.starts_with("/proc/") &&
         !target.starts_with("/dev/pts/") && !is_deleted(link, target);
}

// A POSIX message queue looks like a file in the root directory, but is not one.
bool is_message_queue(const std::string& link, const std::string& path) {
  constexpr long kMqueueMagic = 0x19800202;
  struct statfs fs {};
  return path.rfind('/') == 0 && ::statfs(link.c_str(), &fs) == 0 && fs.f_type == kMqueueMagic;
}

// Whether this is the file of a bound socket, which is made again on the host of its socket.
bool is_bound_socket(const std::string& link) {
  struct stat st {};
  if (::stat(link.c_str(), &st) != 0 || !S_ISSOCK(st.st_mode)) return false;
  const std::vector<UnixSocketInfo> all = list_unix_sockets();
  return std::any_of(all.begin(), all.end(), [&](const UnixSocketInfo& socket) {
    return socket.has_file && socket.file_dev == st.st_dev && socket.file_inode == static_cast<uint32_t>(st.st_ino);
  });
}

// The mode of the link itself shows how a file was opened or mapped.
bool opened_for_writing(const std::string& link) {
  struct stat st {};
  return ::lstat(link.c_str(), &st) == 0 && (st.st_mode & S_IWUSR) != 0;
}

class Gatherer {
 public:
  Gatherer(pid_t pid, UsedFiles which) : pid_(pid), which_(which) {}

  // opened: whether we may open the file.
  void add(const std::string& link, const std::string& used_by, bool mapped, bool writable, bool opened = true) {
    try {
      const std::string path = read_link(link);
      if (!is_named(link, path) || is_message_queue(link, path) || is_bound_socket(link)) return;
      if (which_ == UsedFiles::written && !writable) return;
      if (!seen_.insert({path, writable}).second) return;
      const bool content = which_ == UsedFiles::written || !writable;
      FileIdentity file = identify_file(link, path,
                                        !opened                        ? ContentCheck::metadata
                                        : which_ == UsedFiles::written ? ContentCheck::full
                                        : content                      ? ContentCheck::small
                                                                       : ContentCheck::none);
      if (writable && which_ == UsedFiles::reading) file.build_id.clear();
      file.mapped = mapped;
      file.writable = writable;
      file.used_by = fmt::format("pid {} {}", pid_, used_by);
      files_.push_back(std::move(file));
    } catch (const Error& error) {
      log::debug("left out a file that has gone: {}", error.what());
    }
  }
  std::vector<FileIdentity> take() { return std::move(files_); }

 private:
  pid_t pid_;
  UsedFiles which_;
  std::set<std::pair<std::string, bool>> seen_;
  std::vector<FileIdentity> files_;
};

void add_descriptors(pid_t pid, const std::string& proc, Gatherer& gatherer) {
  const std::optional<std::vector<int>> numbers = list_numeric(proc + "fd");
  if (!numbers) return;
  for (const int number : *numbers) {
    const std::string link = fmt::format("{}fd/{}", proc, number);
    gatherer.add(link, fmt::format("fd {}", number), false, opened_for_writing(link), !has_write_lease(pid, number));
  }
}

}  // namespace

std::vector<FileIdentity> used_files(pid_t pid, const MemoryMap& map, UsedFiles which) {
  const std::string proc = fmt::format("/proc/{}/", pid);
  Gatherer gatherer(pid, which);
  gatherer.add(proc + "exe", "executable", true, false);
  gatherer.add(proc + "cwd", "working directory", false, false);
  gatherer.add(proc + "root", "root directory", false, false);
  for (const MemoryVma& vma : map.vmas()) {
    if (vma.ino == 0 || vma.kind == VmaKind::shmem || vma.kind == VmaKind::device) continue;
    const std::string link = fmt::format("{}map_files/{:x}-{:x}", proc, vma.range.start, vma.range.end);
    gatherer.add(link, fmt::format("mapping {:x}", vma.range.start), true, vma.shared && opened_for_writing(link));
  }
  add_descriptors(pid, proc, gatherer);
  return gatherer.take();
}

}  // namespace crx
