#include "agent-src/tree/open_file.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <map>
#include <memory>

#include "common/base/error.hpp"
#include "common/base/log.hpp"
#include "common/kernel/process/kcmp.hpp"
#include "common/kernel/process/pidfd.hpp"

namespace crx {
namespace {

proc::Fdinfo read_fdinfo(pid_t pid, int number) {
  return proc::parse_fdinfo(read_file(fmt::format("/proc/{}/fdinfo/{}", pid, number)));
}

// Fills link, st and info; throws Error with ENOENT if the descriptor is closed.
OpenFile look_at(pid_t pid, int number) {
  OpenFile file;
  file.pid = pid;
  file.numbers.push_back({pid, number, false});
  file.info = read_fdinfo(pid, number);
  file.numbers.front().cloexec = (file.info.flags & O_CLOEXEC) != 0;
  file.info.flags &= ~static_cast<uint32_t>(O_CLOEXEC);
  file.link = read_link(file.proc_link());
  if (::stat(file.proc_link().c_str(), &file.st) != 0) throw_errno("looking at a descriptor", file.proc_link());
  return file;
}

// Whether this is a userfaultfd that was never set up (UFFDIO_API) and therefore does nothing. A crx that is killed
// just after making one leaves it in the program, which needs no replacement for it. Only such a one shows features 0
// (fs/userfaultfd.c).
bool is_idle_userfaultfd(const OpenFile& file) {
  if (!file.is_anonymous("anon_inode:[userfaultfd]")) return false;
  const Fd info = try_open(fmt::format("/proc/{}/fdinfo/{}", file.pid, file.fd()), O_RDONLY);
  return info && read_fd(info.get(), "fdinfo").find("\nAPI:\taa:0:") != std::string::npos;
}

struct ByDescription {
  bool operator()(const TaskFd& a, const TaskFd& b) const { return compare_files(a, b) == FileOrder::less; }
};

}  // namespace

bool has_write_lease(const proc::Fdinfo& info) {
  return std::any_of(info.locks.begin(), info.locks.end(), [](const proc::Lock& lock) {
    return lock.kind == proc::Lock::Kind::lease && lock.type != proc::Lock::Type::read;
  });
}

bool has_write_lease(pid_t pid, int number) {
  const Fd info = try_open(fmt::format("/proc/{}/fdinfo/{}", pid, number), O_RDONLY);
  if (!info) return false;
  std::string text;
  try {
    text = read_fd(info.get(), "fdinfo");
  } catch (const Error& error) {
    if (error.err() != ENOENT && error.err() != ESRCH) throw;  // it has been closed meanwhile
  }
  return text.find("LEASE") != std::string::npos && has_write_lease(proc::parse_fdinfo(text));
}

std::vector<int> list_numbers(pid_t pid) {
  const std::string path = fmt::format("/proc/{}/fd", pid);
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(path.c_str()), &::closedir);
  if (!dir) throw_errno("listing descriptors", path, errno == ENOENT ? ESRCH : errno);
  std::vector<int> numbers;
  while (const dirent* entry = ::readdir(dir.get())) {
    int number = 0;
    const char* end = entry->d_name + std::strlen(entry->d_name);
    if (std::from_chars(entry->d_name, end, number).ptr == end) numbers.push_back(number);
  }
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

std::string OpenFile::proc_link() const {
  if (numbers.empty()) return fmt::format("/proc/self/fd/{}", own.get());
  return fmt::format("/proc/{}/fd/{}", pid, fd());
}
std::string OpenFile::label() const {
  if (numbers.empty()) return fmt::format("a descriptor that waits in a socket ({})", link);
  return fmt::format("pid {} fd {} ({})", pid, fd(), link);
}
bool OpenFile::path_only() const {
  return (info.flags & O_PATH) != 0;
}

bool is_open_still(const OpenFile& file) {
  char link[256];
  const ssize_t size = ::readlink(file.proc_link().c_str(), link, sizeof link);
  return size > 0 && file.link.starts_with(std::string_view(link, static_cast<std::size_t>(size)));
}

std::vector<OpenFile> list_open_files(pid_t pid) {
  std::vector<OpenFile> files;
  for (const int number : list_numbers(pid)) {
    try {
      OpenFile file = look_at(pid, number);
      if (!is_idle_userfaultfd(file)) files.push_back(std::move(file));
    } catch (const Error& error) {
      // Closed since it was listed. If the whole process has gone, the next listing finds that.
      if (error.err() != ENOENT && error.err() != ESRCH) throw;
    }
  }
  return files;
}

std::vector<OpenFile> take_open_files(const std::vector<Holder>& holders) {
  std::vector<OpenFile> files;
  std::map<TaskFd, std::size_t, ByDescription> known;
  for (const auto& [pid, pidfd] : holders) {
    for (const int number : list_numbers(pid)) {
      const auto [slot, is_new] = known.try_emplace(TaskFd{pid, number}, files.size());
      if (!is_new) {
        const proc::Fdinfo info = read_fdinfo(pid, number);
        files[slot->second].numbers.push_back({pid, number, (info.flags & O_CLOEXEC) != 0});
        continue;
      }
      OpenFile file = look_at(pid, number);
      if (is_idle_userfaultfd(file)) {
        log::warn("{}: left out, since it was never set up; a crx that was killed leaves such a descriptor behind",
                  file.label());
        known.erase(slot);
        continue;
      }
      file.own = try_get_fd(pidfd, number);
      if (!file.own) throw_errno("duplicating a descriptor", file.label());
      file.cloexec_is_unknown = (::fcntl(file.own.get(), F_GETFL) & O_CLOEXEC) != 0;
      files.push_back(std::move(file));
    }
  }
  return files;
}

}  // namespace crx
