#include "agent-src/collect/files/sync_files.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <set>
#include <string>
#include <utility>

#include "agent-src/tree/open_file.hpp"
#include "common/base/error.hpp"
#include "common/base/fd.hpp"
#include "common/kernel/process/pidfd.hpp"
#include "common/proc/maps.hpp"
#include "common/proc/proc_dir.hpp"

namespace crx {
namespace {

class Syncer {
 public:
  // link: a link in /proc. A file that is gone meanwhile needs no write-back for this task.
  // own: a descriptor of the file that we already have; without one the file is opened.
  void sync(const std::string& link, Fd own = {}) {
    struct stat st {};
    if (::stat(link.c_str(), &st) != 0 || !S_ISREG(st.st_mode) || st.st_nlink == 0) return;
    if (!seen_.emplace(st.st_dev, st.st_ino).second) return;
    const Fd fd = own ? std::move(own) : try_open(link, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    // EINVAL: a filesystem without storage (proc, sys)
    if (!fd || ::fdatasync(fd.get()) == 0 || errno == EINVAL || errno == EROFS) return;
    throw_errno("writing back files", read_link(link));
  }

 private:
  std::set<std::pair<dev_t, ino_t>> seen_;
};

}  // namespace

void sync_written_files(pid_t pid) {
  Syncer syncer;
  for (const int number : list_numbers(pid)) {
    const std::string link = fmt::format("/proc/{}/fd/{}", pid, number);
    struct stat st {};
    // The mode of the link itself shows how the file was opened.
    if (::lstat(link.c_str(), &st) != 0 || (st.st_mode & S_IWUSR) == 0) continue;
    if (!has_write_lease(pid, number)) {
      syncer.sync(link);
    } else if (Fd own = try_get_fd(open_pidfd(pid).get(), number)) {
      syncer.sync(link, std::move(own));
    }
  }
  const std::optional<ProcDir> process = ProcDir::open(pid);
  for (const proc::MapsEntry& map :
       (process ? process->maps() : std::nullopt).value_or(std::vector<proc::MapsEntry>())) {
    if (map.kind != proc::MapKind::file || !map.shared || !map.writable) continue;
    syncer.sync(fmt::format("/proc/{}/map_files/{:x}-{:x}", pid, map.start, map.end));
  }
}

}  // namespace crx
