#include "agent-src/tree/open_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
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

// /proc/PID/fd and /proc/PID/fdinfo, opened once for all descriptors of a process.
class DescriptorDirs {
 public:
  // Throws Error(victim_gone).
  explicit DescriptorDirs(pid_t pid)
      : pid_(pid),
        links_(open_checked(fmt::format("/proc/{}/fd", pid), O_PATH | O_DIRECTORY)),
        infos_(open_checked(fmt::format("/proc/{}/fdinfo", pid), O_PATH | O_DIRECTORY)) {}

  // The functions below return nothing if the descriptor cannot be read; errno says why (ENOENT: it is closed).
  std::optional<proc::Fdinfo> info(int number) const {
    const Fd file = try_open_at(infos_.get(), std::to_string(number), O_RDONLY);
    const std::optional<std::string> text = file ? try_read_fd(file.get()) : std::nullopt;
    if (!text) return std::nullopt;
    return proc::parse_fdinfo(*text);
  }

  // The file that the number with this info leads to: with link, st and info.
  std::optional<OpenFile> file(int number, proc::Fdinfo info) const {
    const std::string name = std::to_string(number);
    auto link = try_read_link(links_.get(), name);
    OpenFile file;
    if (!link || ::fstatat(links_.get(), name.c_str(), &file.st, 0) != 0) return std::nullopt;
    file.pid = pid_;
    file.numbers.push_back({pid_, number, (info.flags & O_CLOEXEC) != 0});
    file.info = std::move(info);
    file.info.flags &= ~static_cast<uint32_t>(O_CLOEXEC);
    file.link = std::move(*link);
    return file;
  }

 private:
  pid_t pid_;
  Fd links_, infos_;
};

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

// Which numbers refer to one description. The kernel tells by comparing two of them, so only those are compared that
// agree in the properties that never change: the mount, the inode (all "anon_inode" files share one), and the id of an
// eventfd.
class KnownDescriptions {
 public:
  // Returns the index that was given with the first number of the description; `fresh` where this is the first.
  std::size_t index_of(TaskFd number, const proc::Fdinfo& info, std::size_t fresh) {
    const Kind kind{info.mnt_id, info.inode.value_or(0), info.eventfd ? info.eventfd->id.value_or(0) : 0};
    return known_[kind].try_emplace(number, fresh).first->second;
  }

 private:
  struct ByDescription {
    bool operator()(const TaskFd& a, const TaskFd& b) const { return compare_files(a, b) == FileOrder::less; }
  };
  using Kind = std::tuple<int32_t, uint64_t, int32_t>;
  std::map<Kind, std::map<TaskFd, std::size_t, ByDescription>> known_;
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
  const std::vector<int> numbers = list_numbers(pid);
  const DescriptorDirs dirs(pid);
  for (const int number : numbers) {
    std::optional<proc::Fdinfo> info = dirs.info(number);
    std::optional<OpenFile> file = info ? dirs.file(number, std::move(*info)) : std::nullopt;
    if (file && !is_idle_userfaultfd(*file)) files.push_back(std::move(*file));
    // Closed since it was listed. If the whole process has gone, the next listing finds that.
    if (!file && errno != ENOENT && errno != ESRCH) throw_looking(pid, number, errno);
  }
  return files;
}

std::vector<OpenFile> take_open_files(const std::vector<Holder>& holders) {
  std::vector<OpenFile> files;
  std::vector<bool> left_out;
  KnownDescriptions known;
  for (const auto& [pid, pidfd] : holders) {
    const std::vector<int> numbers = list_numbers(pid);
    const DescriptorDirs dirs(pid);
    for (const int number : numbers) {
      std::optional<proc::Fdinfo> info = dirs.info(number);
      if (!info) throw_looking(pid, number, errno);
      const std::size_t at = known.index_of({pid, number}, *info, files.size());
      if (at < files.size()) {
        files[at].numbers.push_back({pid, number, (info->flags & O_CLOEXEC) != 0});
        continue;
      }
      std::optional<OpenFile> file = dirs.file(number, std::move(*info));
      if (!file) throw_looking(pid, number, errno);
      left_out.push_back(is_idle_userfaultfd(*file));
      if (left_out.back()) {
        log::warn("{}: left out, since it was never set up; a crx that was killed leaves such a descriptor behind",
                  file->label());
      } else {
        file->own = try_get_fd(pidfd, number);
        if (!file->own) throw_errno("duplicating a descriptor", file->label());
        file->cloexec_is_unknown = (::fcntl(file->own.get(), F_GETFL) & O_CLOEXEC) != 0;
      }
      files.push_back(std::move(*file));
    }
  }
  std::size_t at = 0;
  std::erase_if(files, [&](const OpenFile&) { return left_out[at++]; });
  return files;
}

}  // namespace crx
