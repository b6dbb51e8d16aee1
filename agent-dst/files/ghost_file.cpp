#include "agent-dst/files/ghost_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/falloc.h>
#include <sys/stat.h>
#include <unistd.h>

#include <optional>
#include <span>

#include "agent-dst/files/ghost_node.hpp"
#include "common/base/error.hpp"
#include "common/image/magic.hpp"
#include "common/image/schema/regular.pb.h"

namespace crx {
namespace {

constexpr char kGhostFileStep[] = "making a deleted file";

std::string own_link(const Fd& file) {
  return fmt::format("/proc/self/fd/{}", file.get());
}

// On a filesystem without O_TMPFILE the file has a name of crx for a moment.
Fd make_in(const std::string& directory, uint32_t ghost) {
  Fd file = try_open(directory, O_TMPFILE | O_RDWR, 0600);
  if (file) return file;
  const std::string name = fmt::format("{}/.crx-ghost-{}-{}", directory, ::getpid(), ghost);
  file = try_open(name, O_CREAT | O_EXCL | O_NOFOLLOW | O_RDWR, 0600);
  if (file && ::unlink(name.c_str()) != 0) throw_errno(kGhostFileStep, name);
  return file;
}

Fd make_file(const std::string& path, uint32_t ghost, const std::string& ghosts) {
  if (!ghosts.empty()) {
    Fd file = make_in(ghosts, ghost);
    if (!file) throw_errno(kGhostFileStep, path + " in " + ghosts);
    return file;
  }
  const auto slash = path.rfind('/');
  if (slash != std::string::npos) {
    Fd file = make_in(slash == 0 ? "/" : path.substr(0, slash), ghost);
    if (file) return file;
  }
  Fd file = make_in("/tmp", ghost);
  if (!file) throw_errno(kGhostFileStep, path);
  return file;
}

void write_at(int fd, std::span<const std::byte> bytes, uint64_t offset, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t n = ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) throw_errno(kGhostFileStep, path, n < 0 ? errno : ENOSPC);
    bytes = bytes.subspan(static_cast<std::size_t>(n));
    offset += static_cast<uint64_t>(n);
  }
}

// Punches a hole. Truncating the file instead would remove private copies of its pages from processes that have mapped
// it.
void punch(int fd, uint64_t start, uint64_t end, const std::string& path) {
  if (start >= end) return;
  const int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  if (::fallocate(fd, mode, static_cast<off_t>(start), static_cast<off_t>(end - start)) != 0)
    throw_errno(kGhostFileStep, path);
}

void give_attributes(int fd, const img::ghost_file_entry& entry, const std::string& path, const Policy& policy) {
  // A file that is carried for a task without privileges stays the task's own.
  if (::fchown(fd, entry.uid(), entry.gid()) != 0 && errno != EPERM) throw_errno(kGhostFileStep, path);
  struct stat st {};
  if (::fstat(fd, &st) != 0) throw_errno(kGhostFileStep, path);
  policy.check_file(path, entry.mode(), st.st_uid, st.st_gid);
  if (::fchmod(fd, entry.mode() & 07777) != 0) throw_errno(kGhostFileStep, path);
}

}  // namespace

// The descriptor for writing is not kept: a program that is open for writing cannot be executed.
void fill_ghost(const ImageSource& images, uint32_t ghost, const std::string& path, const FileRules& rules,
                const FsIds* carried_for, Fd& file) {
  ImageReader image = images.reader(image_file::ghost_file(ghost));
  const auto entry = image.expect<img::ghost_file_entry>();
  const bool is_new = !file;
  if (!S_ISREG(entry.mode())) {
    if (carried_for != nullptr) image.fail("a file that is carried along is not a regular one");
    rules.policy.check_file(path, entry.mode(), entry.uid(), entry.gid());
    if (is_new) file = make_ghost_node(entry, path, ghost, rules.ghosts);
    return;
  }
  file = is_new ? make_file(path, ghost, rules.ghosts) : open_checked(own_link(file), O_RDWR);
  const int fd = file.get();
  if (entry.chunks()) {
    uint64_t filled = 0;
    while (!image.at_end()) {
      const auto chunk = image.expect<img::ghost_chunk_entry>();
      if (chunk.off() > INT64_MAX - chunk.len() || chunk.off() < filled) image.fail("a chunk is out of place");
      if (!is_new) punch(fd, filled, chunk.off(), path);
      write_at(fd, image.raw(chunk.len()), chunk.off(), path);
      filled = chunk.off() + chunk.len();
    }
    if (!is_new && filled < entry.size()) punch(fd, filled, entry.size(), path);
  } else {
    const auto content = image.rest();
    if (entry.has_size() && content.size() != entry.size()) image.fail("the content does not have the stated length");
    write_at(fd, content, 0, path);
  }
  if (entry.has_size() && ::ftruncate(fd, static_cast<off_t>(entry.size())) != 0) throw_errno(kGhostFileStep, path);
  {
    std::optional<FsCredentials> as_task;
    if (carried_for != nullptr) as_task.emplace(*carried_for);
    give_attributes(fd, entry, path, rules.policy);
  }
  file = open_checked(own_link(file), O_RDONLY);
  if (!entry.has_mtim() || !entry.has_atim()) return;
  const timespec times[2] = {
      {static_cast<time_t>(entry.atim().tv_sec()), static_cast<long>(entry.atim().tv_usec() * 1000)},
      {static_cast<time_t>(entry.mtim().tv_sec()), static_cast<long>(entry.mtim().tv_usec() * 1000)}};
  if (::futimens(file.get(), times) != 0) throw_errno(kGhostFileStep, path);
}

}  // namespace crx
