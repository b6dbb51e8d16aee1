#include "agent-dst/files/ghost_node.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "common/base/error.hpp"

namespace crx {
namespace {

constexpr char kGhostNodeStep[] = "making a deleted file";

bool make(const img::ghost_file_entry& entry, const std::string& name) {
  const mode_t mode = entry.mode();
  if (S_ISDIR(mode)) return ::mkdir(name.c_str(), 0700) == 0;
  if (S_ISLNK(mode)) return ::symlink(entry.symlnk_target().c_str(), name.c_str()) == 0;
  return ::mknod(name.c_str(), (mode & S_IFMT) | 0600, entry.rdev()) == 0;
}

// Opens the node that was created and removes its name, unless another process has replaced the node in the meantime.
Fd take(const img::ghost_file_entry& entry, const std::string& name) {
  Fd node = open_checked(name, O_PATH | O_NOFOLLOW);
  struct stat st {};
  if (::fstat(node.get(), &st) != 0) throw_errno(kGhostNodeStep, name);
  const bool is_ours = (st.st_mode & S_IFMT) == (entry.mode() & S_IFMT) && st.st_rdev == entry.rdev();
  if (!is_ours)
    throw Error(ErrorCode::kernel, kGhostNodeStep, name + " was replaced by another program at the same time");
  if (::unlinkat(AT_FDCWD, name.c_str(), S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0) != 0)
    throw_errno(kGhostNodeStep, name);
  return node;
}

void set_attributes(int node, const img::ghost_file_entry& entry, const std::string& path) {
  const std::string link = fmt::format("/proc/self/fd/{}", node);
  if (::fchownat(node, "", entry.uid(), entry.gid(), AT_EMPTY_PATH) != 0) throw_errno(kGhostNodeStep, path);
  if (!S_ISLNK(entry.mode()) && ::chmod(link.c_str(), entry.mode() & 07777) != 0) throw_errno(kGhostNodeStep, path);
}

}  // namespace

Fd make_ghost_node(const img::ghost_file_entry& entry, const std::string& path, uint32_t ghost,
                   const std::string& ghosts) {
  if (!path.starts_with('/'))
    throw Error(ErrorCode::corrupt_image, kGhostNodeStep, "\"" + path + "\" is not the path of a deleted file");
  const std::string ours = fmt::format("/.crx-ghost-{}-{}", ::getpid(), ghost);
  const std::vector<std::string> names = ghosts.empty()
                                             ? std::vector{path, path.substr(0, path.rfind('/')) + ours, "/tmp" + ours}
                                             : std::vector{ghosts + ours};
  for (const std::string& name : names) {
    if (!make(entry, name)) continue;
    Fd node = take(entry, name);
    set_attributes(node.get(), entry, path);
    return node;
  }
  throw_errno(kGhostNodeStep, path);
}

}  // namespace crx
