#include "agent-dst/files/ghost_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/falloc.h>
#include <sys/stat.h>
#include <unistd.h>

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

Fd make_file(const std::string& path, uint32_t ghost) {
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

}  // namespace

// The descriptor for writing is not kept: a program that is open for writing cannot be executed.
void fill_ghost(const ImageSource& images, uint32_t ghost, const std::string& path, Fd& file) {
  ImageReader image = images.reader(image_file::ghost_file(ghost));
  const auto entry = image.expect<img::ghost_file_entry>();
  const bool is_new = !file;
  if (!S_ISREG(entry.mode())) {
    if (is_new) file = make_ghost_node(entry, path, ghost);
    return;
  }
  file = is_new ? make_file(path, ghost) : open_checked(own_link(file), O_RDWR);
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
  if (::fchown(fd, entry.uid(), entry.gid()) != 0 || ::fchmod(fd, entry.mode() & 07777) != 0)
    throw_errno(kGhostFileStep, path);
  file = open_checked(own_link(file), O_RDONLY);
  if (!entry.has_mtim() || !entry.has_atim()) return;
  const timespec times[2] = {
      {static_cast<time_t>(entry.atim().tv_sec()), static_cast<long>(entry.atim().tv_usec() * 1000)},
      {static_cast<time_t>(entry.mtim().tv_sec()), static_cast<long>(entry.mtim().tv_usec() * 1000)}};
  if (::futimens(file.get(), times) != 0) throw_errno(kGhostFileStep, path);
}

}  // namespace crx
