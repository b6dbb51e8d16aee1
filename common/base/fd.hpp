// An owned file descriptor.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace crx {

// Owns one descriptor and closes it; move-only. -1 means empty.
class Fd {
 public:
  Fd() noexcept = default;
  explicit Fd(int fd) noexcept : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) reset(std::exchange(other.fd_, -1));
    return *this;
  }
  ~Fd() { reset(); }

  int get() const noexcept { return fd_; }
  explicit operator bool() const noexcept { return fd_ >= 0; }
  int release() noexcept { return std::exchange(fd_, -1); }
  void reset(int fd = -1) noexcept;

 private:
  int fd_ = -1;
};

// open(2) / openat(2) with O_CLOEXEC added; throws Error naming the path. dirfd AT_FDCWD where not given.
Fd open_checked(const std::string& path, int flags, unsigned mode = 0);
// The same, but a failure is an expected outcome: an empty Fd, errno set.
Fd try_open(const std::string& path, int flags, unsigned mode = 0) noexcept;
// The same below the directory that `directory` is open on (openat(2)).
Fd try_open_at(int directory, const std::string& name, int flags, unsigned mode = 0) noexcept;
// A new CLOEXEC descriptor for the same description. Throws Error.
Fd duplicate(int fd);

// Reads a whole (proc or regular) file; throws Error naming the path, also when it holds over `limit` bytes.
std::string read_file(const std::string& path, std::size_t limit = std::size_t{64} << 20);
// The same from an open descriptor, from its start (pread), so that one /proc descriptor serves many reads.
std::string read_fd(int fd, const std::string& name, std::size_t limit = std::size_t{64} << 20);
// Twins of both for files that may be missing or belong to a process that ends: a failure is an expected outcome, and
// errno says which (EFBIG: over `limit` bytes).
std::optional<std::string> try_read_file(const std::string& path, std::size_t limit = std::size_t{64} << 20);
std::optional<std::string> try_read_fd(int fd, std::size_t limit = std::size_t{64} << 20);
// Writes the whole text with one write(2), as /proc and cgroup files want it; throws Error naming the path.
void write_file(const std::string& path, std::string_view text);
// readlink(2); throws Error naming the path.
std::string read_link(const std::string& path);
// readlinkat(2) below a directory's descriptor (AT_FDCWD: of the path itself). A failure is an expected outcome, and
// errno says which.
std::optional<std::string> try_read_link(int directory, const std::string& name);

}  // namespace crx
