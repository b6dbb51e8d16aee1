#include "agent-src/collect/files/watched_path.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <thread>

#include "agent-src/collect/kind/file_name.hpp"
#include "common/base/fd.hpp"
#include "common/proc/text.hpp"

namespace crx {
namespace {

// A row of /proc/PID/mountinfo: "36 35 98:0 /mnt1 /mnt2 rw,noatime ...".
struct MountRow {
  std::string_view id, device;
  std::string point;
};

template <typename Visit>
void for_mounts(pid_t pid, Visit visit) {
  const std::string path = fmt::format("/proc/{}/mountinfo", pid);
  const std::string text = read_file(path);
  std::string_view left = text;
  while (const auto row = proc::next_line(left)) {
    proc::Scanner line(path, *row);
    MountRow mount;
    mount.id = line.word();
    line.blanks().word();
    mount.device = line.blanks().word();
    line.blanks().word();
    mount.point = proc::unescape_octal(line.blanks().word());
    visit(mount);
  }
}

// Opens files by O_PATH only, which creates no event for those who watch them. open_by_handle_at(2) needs a real
// descriptor of the mount, or a working directory in it; the latter is set in a thread of its own.
Fd open_handle(const std::string& point, file_handle* handle) {
  const Fd mount = try_open(point, O_PATH);
  Fd found;
  if (!mount) return found;
  std::thread([&] {
    if (::unshare(CLONE_FS) != 0) return;
    const Fd file =
        // for a single file that is a mount point
        ::fchdir(mount.get()) == 0 ? Fd() : try_open(point, O_RDONLY | O_NONBLOCK);
    found.reset(::open_by_handle_at(file ? file.get() : AT_FDCWD, handle, O_PATH | O_CLOEXEC));
  }).join();
  return found;
}

}  // namespace

std::vector<std::string> mounts_of_device(pid_t pid, uint32_t sdev) {
  std::vector<std::string> points;
  const std::string wanted = fmt::format("{}:{}", sdev >> 20, sdev & 0xfffff);
  for_mounts(pid, [&](const MountRow& mount) {
    if (mount.device == wanted) points.push_back(mount.point);
  });
  return points;
}

std::string mount_point(pid_t pid, uint32_t mount_id) {
  std::string point;
  const std::string wanted = std::to_string(mount_id);
  for_mounts(pid, [&](const MountRow& mount) {
    if (mount.id == wanted) point = mount.point;
  });
  return point;
}

std::string find_watched_path(pid_t pid, uint32_t sdev, uint64_t inode, const proc::FileHandle& wanted) {
  std::vector<char> buffer(sizeof(file_handle) + wanted.bytes.size());
  auto* handle = reinterpret_cast<file_handle*>(buffer.data());
  handle->handle_bytes = static_cast<unsigned>(wanted.bytes.size());
  handle->handle_type = wanted.type;
  std::memcpy(buffer.data() + sizeof(file_handle), wanted.bytes.data(), wanted.bytes.size());
  for (const std::string& point : mounts_of_device(pid, sdev)) {
    const Fd found = open_handle(fmt::format("/proc/{}/root{}", pid, point), handle);
    struct stat st {};
    if (!found || ::fstat(found.get(), &st) != 0 || st.st_ino != inode) continue;
    const FileName name = find_name(pid, read_link(fmt::format("/proc/self/fd/{}", found.get())), st);
    if (name.state == NameState::good) return name.path;
  }
  return {};
}

img::fh_entry describe_handle(const proc::FileHandle& handle, const std::string& path) {
  img::fh_entry entry;
  entry.set_bytes(static_cast<uint32_t>(handle.bytes.size()));
  entry.set_type(static_cast<uint32_t>(handle.type));
  std::string words = handle.bytes;
  words.resize(16 * sizeof(uint64_t), '\0');
  for (std::size_t at = 0; at < words.size(); at += sizeof(uint64_t)) {
    uint64_t word = 0;
    std::memcpy(&word, words.data() + at, sizeof word);
    entry.add_handle(word);
  }
  entry.set_path(path);
  return entry;
}

}  // namespace crx
