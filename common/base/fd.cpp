#include "common/base/fd.hpp"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "common/base/error.hpp"

namespace crx {
namespace {

// True when a file of /proc/PID (or /proc/PID/task/TID) does not exist because the process (or the thread) has ended.
bool belongs_to_nobody(const std::string& path) {
  if (!path.starts_with("/proc/") || path.size() < 7 || path[6] < '0' || path[6] > '9') return false;
  std::size_t end = path.find('/', 6);
  if (end != std::string::npos && path.compare(end, 6, "/task/") == 0) end = path.find('/', end + 6);
  return ::access(path.substr(0, end).c_str(), F_OK) != 0;
}

[[noreturn]] void throw_path(const char* step, const std::string& path) {
  const int err = errno;
  if (err == ENOENT && belongs_to_nobody(path)) throw Error(ErrorCode::victim_gone, step, path, err);
  throw_errno(step, path, err);
}

}  // namespace

void Fd::reset(int fd) noexcept {
  if (fd_ >= 0) ::close(fd_);
  fd_ = fd;
}

Fd try_open(const std::string& path, int flags, unsigned mode) noexcept {
  return Fd(::open(path.c_str(), flags | O_CLOEXEC, mode));
}

Fd try_open_at(int directory, const std::string& name, int flags, unsigned mode) noexcept {
  return Fd(::openat(directory, name.c_str(), flags | O_CLOEXEC, mode));
}

Fd try_find(int directory, const std::string& path, int flags) noexcept {
  constexpr int kTries = 100;  // EAGAIN: something was renamed meanwhile
  open_how how{};
  how.flags = static_cast<unsigned>(flags) | O_PATH | O_CLOEXEC;
  how.resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  if (directory != AT_FDCWD) how.resolve |= RESOLVE_BENEATH;
  long fd = -1;
  for (int i = 0; i < kTries; ++i) {
    fd = ::syscall(SYS_openat2, directory, path.c_str(), &how, sizeof how);
    if (fd >= 0 || errno != EAGAIN) break;
  }
  return Fd(static_cast<int>(fd));
}

Fd open_checked(const std::string& path, int flags, unsigned mode) {
  Fd fd = try_open(path, flags, mode);
  if (!fd) throw_path("opening a file", path);
  return fd;
}

Fd duplicate(int fd) {
  const int copy = ::fcntl(fd, F_DUPFD_CLOEXEC, 3);
  if (copy < 0) throw_errno("duplicating a descriptor", std::to_string(fd));
  return Fd(copy);
}

std::optional<std::string> try_read_fd(int fd, std::size_t limit) {
  std::string text(4096, '\0');
  std::size_t used = 0;
  for (;;) {
    const ssize_t n = ::pread(fd, text.data() + used, text.size() - used, static_cast<off_t>(used));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return std::nullopt;
    if (n == 0) break;
    used += static_cast<std::size_t>(n);
    if (used > limit) {
      errno = EFBIG;
      return std::nullopt;
    }
    if (used == text.size()) text.resize(text.size() * 2);
  }
  text.resize(used);
  return text;
}

std::string read_fd(int fd, const std::string& name, std::size_t limit) {
  std::optional<std::string> text = try_read_fd(fd, limit);
  if (text) return std::move(*text);
  if (errno != EFBIG) throw_errno("reading a file", name);
  throw Error(ErrorCode::refused, "reading a file", name + " is larger than " + std::to_string(limit) + " bytes");
}

std::optional<std::string> try_read_file(const std::string& path, std::size_t limit) {
  const Fd fd = try_open(path, O_RDONLY);
  if (!fd) return std::nullopt;
  return try_read_fd(fd.get(), limit);
}

std::string read_file(const std::string& path, std::size_t limit) {
  const Fd fd = open_checked(path, O_RDONLY);
  return read_fd(fd.get(), path, limit);
}

void write_file(const std::string& path, std::string_view text) {
  const Fd fd = open_checked(path, O_WRONLY);
  if (::write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    throw_errno("writing a file", path);
  }
}

std::optional<std::string> try_read_link(int directory, const std::string& name) {
  std::array<char, 4097> target;  // PATH_MAX, and one byte
  const ssize_t n = ::readlinkat(directory, name.c_str(), target.data(), target.size());
  if (n < 0) return std::nullopt;
  return std::string(target.data(), static_cast<std::size_t>(n));
}

std::string read_link(const std::string& path) {
  std::optional<std::string> target = try_read_link(AT_FDCWD, path);
  if (!target) throw_path("reading a link", path);
  return std::move(*target);
}

}  // namespace crx
