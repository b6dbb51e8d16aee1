#include "agent-src/tree/open_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "agent-src/tree/process_tree.hpp"
#include "common/base/directory.hpp"
#include "common/base/error.hpp"
#include "common/base/log.hpp"
#include "common/kernel/process/kcmp.hpp"
#include "common/kernel/process/pidfd.hpp"
#include "common/proc/proc_dir.hpp"

namespace crx {
namespace {

proc::Fdinfo read_fdinfo(pid_t pid, int number) {
  return proc::parse_fdinfo(read_file(fmt::format("/proc/{}/fdinfo/{}", pid, number)));
}

// Fills link, st and info. Returns nothing if one of them cannot be read; errno says why (ENOENT: the descriptor is
// closed).
std::optional<OpenFile> try_look_at(pid_t pid, int number) {
  OpenFile file;
  file.pid = pid;
  file.numbers.push_back({pid, number, false});
  const auto info = try_read_file(fmt::format("/proc/{}/fdinfo/{}", pid, number));
  if (!info) return std::nullopt;
  file.info = proc::parse_fdinfo(*info);
  file.numbers.front().cloexec = (file.info.flags & O_CLOEXEC) != 0;
  file.info.flags &= ~static_cast<uint32_t>(O_CLOEXEC);
  auto link = try_read_link(AT_FDCWD, file.proc_link());
  if (!link || ::stat(file.proc_link().c_str(), &file.st) != 0) return std::nullopt;
  file.link = std::move(*link);
  return file;
}

[[noreturn]] void throw_looking(pid_t pid, int number, int err) {
  throw_errno("looking at a descriptor", fmt::format("/proc/{}/fd/{}", pid, number),
              err == ENOENT && !is_taken(pid) ? ESRCH : err);
}

// Whether this is a userfaultfd that was never set up (UFFDIO_API) and therefore does nothing. A crx that is killed
// just after making one leaves it in the program, which needs no replacement for it. Only such a one shows features 0
// (fs/userfaultfd.c).
bool is_idle_userfaultfd(const OpenFile& file) {
  if (!file.is_anonymous("anon_inode:[userfaultfd]")) return false;
  const auto info = try_read_file(fmt::format("/proc/{}/fdinfo/{}", file.pid, file.fd()));
  return info && info->find("\nAPI:\taa:0:") != std::string::npos;
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
  const auto text = try_read_file(fmt::format("/proc/{}/fdinfo/{}", pid, number));
  return text && text->find("LEASE") != std::string::npos && has_write_lease(proc::parse_fdinfo(*text));
}

std::vector<int> list_numbers(pid_t pid) {
  const std::string path = fmt::format("/proc/{}/fd", pid);
  std::optional<std::vector<int>> numbers = list_numeric(path);
  if (!numbers) throw_errno("listing descriptors", path, errno == ENOENT ? ESRCH : errno);
  std::sort(numbers->begin(), numbers->end());
  return std::move(*numbers);
}

std::string OpenFile::proc_link() const {
  if (numbers.empty()) return fmt::format("/proc/self/fd/{}", own.get());
  return fmt::format("/proc/{}/fd/{}", pid, fd());
}
bool OpenFile::is_in_tree(pid_t process) const {
  return descends_from(process,
                       [this](pid_t each) { return each == pid || (tree_members && tree_members->contains(each)); });
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
    std::optional<OpenFile> file = try_look_at(pid, number);
    if (file && !is_idle_userfaultfd(*file)) files.push_back(std::move(*file));
    // Closed since it was listed. If the whole process has gone, the next listing finds that.
    if (!file && errno != ENOENT && errno != ESRCH) throw_looking(pid, number, errno);
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
      std::optional<OpenFile> found = try_look_at(pid, number);
      if (!found) throw_looking(pid, number, errno);
      OpenFile& file = *found;
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
