#include "common/kernel/files/file_identity.hpp"

#include <elf.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "common/base/digest.hpp"
#include "common/base/error.hpp"
#include "common/base/fd.hpp"
#include "common/kernel/files/block_device.hpp"
#include "common/proc/mountinfo.hpp"

namespace crx {
namespace {

constexpr uint64_t kSmallFile = uint64_t{64} << 20;
constexpr uint64_t kMostPiece = uint64_t{1} << 20;  // more than what digest_file() reads at once
constexpr std::size_t kMaxHeaders = 64;
constexpr std::size_t kMaxNotes = 64 * 1024;
constexpr uint32_t kNoteBuildId = 3;  // NT_GNU_BUILD_ID

// Filesystem types whose files two hosts can share (statfs(2)).
bool is_shared_storage(const std::string& type) {
  static constexpr const char* kTypes[] = {"nfs",     "nfs4", "cifs",  "smb3",   "ceph", "fuse.ceph", "fuse.glusterfs",
                                           "lustre",  "gfs2", "ocfs2", "beegfs", "9p",   "afs",       "fuse.sshfs",
                                           "virtiofs"};
  return std::any_of(std::begin(kTypes), std::end(kTypes), [&](const char* known) { return type == known; });
}

// "type source" of the mount that the file is on; empty when hosts cannot share a filesystem of this type.
std::string storage_of(int fd) {
  const std::string info = read_file(fmt::format("/proc/self/fdinfo/{}", fd));
  const auto at = info.find("mnt_id:");
  if (at == std::string::npos) return {};
  const int mount = std::atoi(info.c_str() + at + 7);
  for (const proc::MountEntry& entry : proc::parse_mountinfo(read_file("/proc/self/mountinfo"))) {
    if (entry.id == mount && is_shared_storage(entry.fs_type)) return entry.fs_type + " " + entry.source;
  }
  return {};
}

template <typename T>
bool read_at(int fd, uint64_t offset, T& object) {
  return ::pread(fd, &object, sizeof object, static_cast<off_t>(offset)) == static_cast<ssize_t>(sizeof object);
}

// The content of the build-id note of a 64-bit ELF file (elf(5)); empty when it has none.
std::string build_id_of(int fd) {
  Elf64_Ehdr header{};
  if (!read_at(fd, 0, header) || std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) return {};
  if (header.e_ident[EI_CLASS] != ELFCLASS64) return {};
  for (std::size_t i = 0; i < std::min<std::size_t>(header.e_phnum, kMaxHeaders); ++i) {
    Elf64_Phdr segment{};
    if (!read_at(fd, header.e_phoff + i * sizeof segment, segment)) return {};
    if (segment.p_type != PT_NOTE || segment.p_filesz > kMaxNotes) continue;
    std::string notes(segment.p_filesz, '\0');
    const ssize_t got = ::pread(fd, notes.data(), notes.size(), static_cast<off_t>(segment.p_offset));
    if (got < 0) return {};
    notes.resize(static_cast<std::size_t>(got));
    for (std::size_t at = 0; at + sizeof(Elf64_Nhdr) <= notes.size();) {
      Elf64_Nhdr note{};
      std::memcpy(&note, notes.data() + at, sizeof note);
      const std::size_t name = at + sizeof note;
      const std::size_t body = name + ((note.n_namesz + 3) & ~3u);
      if (body + note.n_descsz > notes.size()) break;
      if (note.n_type == kNoteBuildId && note.n_namesz == 4 && std::memcmp(notes.data() + name, "GNU", 4) == 0) {
        return notes.substr(body, note.n_descsz);
      }
      at = body + ((note.n_descsz + 3) & ~3u);
    }
  }
  return {};
}

std::string kind_of(uint32_t mode) {
  switch (mode & S_IFMT) {
    case S_IFREG:
      return "a regular file";
    case S_IFDIR:
      return "a directory";
    case S_IFCHR:
      return "a character device";
    case S_IFBLK:
      return "a block device";
    case S_IFIFO:
      return "a FIFO";
    case S_IFSOCK:
      return "a socket";
    case S_IFLNK:
      return "a symbolic link";
    default:
      return "something else";
  }
}

// The file is a regular one.
std::optional<std::string> content_difference(int found, const struct stat& here, const FileIdentity& wanted,
                                              const FileAccess& reader) {
  if (!wanted.storage.empty() && wanted.ino == here.st_ino && wanted.storage == storage_of(found)) return std::nullopt;
  const bool told = !wanted.build_id.empty() || !wanted.digest.empty();
  const auto size = static_cast<uint64_t>(here.st_size);
  if (wanted.size != size && (told || !wanted.writable))
    return fmt::format("has {} bytes here and {} there", size, wanted.size);
  if (!told) return std::nullopt;
  const Fd file = reader.read(found);
  if (!file) return fmt::format("cannot be read here: {}", std::strerror(errno));
  if (!wanted.build_id.empty() && wanted.build_id != build_id_of(file.get())) return "is another build";
  if (wanted.digest.empty()) return std::nullopt;
  uint64_t left = size + kMostPiece;  // the last piece finds the end
  const auto before_piece = [&](uint64_t bytes) {
    if (bytes > left) throw Error(ErrorCode::refused, "comparing files", wanted.path + " grows while it is compared");
    left -= bytes;
    reader.before_piece(bytes);
  };
  if (wanted.digest != digest_file(file.get(), wanted.path, before_piece).view()) return "has other content";
  return std::nullopt;
}

}  // namespace

FileIdentity identify_file(const std::string& link, std::string path, ContentCheck check) {
  FileIdentity file;
  file.path = std::move(path);
  struct stat st {};
  if (::stat(link.c_str(), &st) < 0) throw_errno("looking at a file", file.path);
  file.dev = st.st_dev;
  file.ino = st.st_ino;
  file.size = S_ISREG(st.st_mode) ? static_cast<uint64_t>(st.st_size) : 0;
  file.mode = st.st_mode;
  file.rdev = st.st_rdev;
  file.mtime_ns = st.st_mtim.tv_sec * 1'000'000'000 + st.st_mtim.tv_nsec;
  if (S_ISBLK(st.st_mode)) file.storage = block_device_identity(st.st_rdev);
  if (!S_ISREG(st.st_mode)) return file;
  const Fd fd = try_open(link, check == ContentCheck::metadata ? O_PATH : O_RDONLY | O_NONBLOCK);
  if (!fd) return file;
  file.storage = storage_of(fd.get());
  if (check == ContentCheck::metadata) return file;
  file.build_id = build_id_of(fd.get());
  const bool read =
      check == ContentCheck::full || (check == ContentCheck::small && file.build_id.empty() && file.size <= kSmallFile);
  if (read) file.digest = digest_file(fd.get(), file.path).view();
  return file;
}

FileStamp stamp_of(int file, const std::string& path) {
  struct stat st {};
  if (::fstat(file, &st) != 0) throw_errno("looking at a file", path);
  return {st.st_dev, st.st_ino, st.st_ctim.tv_sec * 1'000'000'000 + st.st_ctim.tv_nsec};
}

Fd FileAccess::find(const std::string& path, int flags) const {
  return try_find(AT_FDCWD, path, flags);
}

Fd FileAccess::read(int found) const {
  return try_open(fmt::format("/proc/self/fd/{}", found), O_RDONLY | O_NONBLOCK);
}

std::optional<std::string> file_difference(int found, const FileIdentity& wanted, bool same_kernel,
                                           const FileAccess& reader) {
  struct stat st {};
  if (::fstat(found, &st) != 0) throw_errno("looking at a file", wanted.path);
  if ((wanted.mode & S_IFMT) != (st.st_mode & S_IFMT)) {
    return fmt::format("is {} here and {} there", kind_of(st.st_mode), kind_of(wanted.mode));
  }
  if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode)) {
    if (wanted.rdev != st.st_rdev) return "is another device";
    if (S_ISCHR(st.st_mode) || same_kernel) return std::nullopt;
    if (!wanted.storage.empty() && wanted.storage == block_device_identity(st.st_rdev)) return std::nullopt;
    return "is a block device of this host's own, as far as can be told";
  }
  if (same_kernel && wanted.dev == st.st_dev && wanted.ino == st.st_ino) return std::nullopt;
  if (!S_ISREG(st.st_mode)) return std::nullopt;
  if (auto difference = content_difference(found, st, wanted, reader)) return difference;
  if (same_kernel && wanted.writable && wanted.digest.empty()) return "is another file here, and it is being written";
  return std::nullopt;
}

std::optional<std::string> file_difference(const FileIdentity& wanted, bool same_kernel, const FileAccess& reader,
                                           FileStamp* here) {
  // A path of the kernel (/proc) names a symbolic link only if the program opened the link itself.
  const Fd found = reader.find(wanted.path, S_ISLNK(wanted.mode) ? O_NOFOLLOW : 0);
  if (!found && errno == ELOOP) return "is reached by a symbolic link here";
  if (!found)
    return errno == ENOENT ? "does not exist here" : fmt::format("cannot be accessed here: {}", std::strerror(errno));
  if (here != nullptr) *here = stamp_of(found.get(), wanted.path);
  return file_difference(found.get(), wanted, same_kernel, reader);
}

}  // namespace crx
