// An owned file descriptor, and small functions that open and read files.
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
  // Gives the descriptor to the caller, who must close it.
  int release() noexcept { return std::exchange(fd_, -1); }
  // Closes the held descriptor and takes ownership of `fd`.
  void reset(int fd = -1) noexcept;

 private:
  int fd_ = -1;
};

// open(2) with O_CLOEXEC added. Throws Error naming the path.
Fd open_checked(const std::string& path, int flags, unsigned mode = 0);
// The same, for callers to whom failure is an expected outcome: returns an empty Fd and leaves errno set.
Fd try_open(const std::string& path, int flags, unsigned mode = 0) noexcept;
// The same below the directory that the descriptor `directory` refers to (openat(2)).
Fd try_open_at(int directory, const std::string& name, int flags, unsigned mode = 0) noexcept;
// Finds the file without opening its content (O_PATH), on a way without symbolic links and without the links of /proc
// that lead anywhere (openat2(2)): for paths that somebody else named. flags: O_NOFOLLOW, to find a symbolic link
// itself; O_DIRECTORY. directory: where a relative path begins, which may not leave it; AT_FDCWD: `path` is absolute.
// Returns an empty Fd and leaves errno set, ELOOP where there is a link.
Fd try_find(int directory, const std::string& path, int flags = 0) noexcept;
// A new CLOEXEC descriptor for the same open file description (F_DUPFD_CLOEXEC). Throws Error.
Fd duplicate(int fd);

// Reads a whole file (regular, or one of /proc). Throws Error naming the path, also when the file holds more than
// `limit` bytes.
std::string read_file(const std::string& path, std::size_t limit = std::size_t{64} << 20);
// The same from an open descriptor, from offset 0 (pread), so that one /proc descriptor can be read repeatedly. `name`
// is used in the error.
std::string read_fd(int fd, const std::string& name, std::size_t limit = std::size_t{64} << 20);
// The same for files that may be missing or that belong to a process that may end: failure is an expected outcome, so
// these return nullopt and leave errno set (EFBIG: more than `limit` bytes).
std::optional<std::string> try_read_file(const std::string& path, std::size_t limit = std::size_t{64} << 20);
std::optional<std::string> try_read_fd(int fd, std::size_t limit = std::size_t{64} << 20);
// Writes the whole text with a single write(2), as files of /proc and of cgroups require. Throws Error naming the path.
void write_file(const std::string& path, std::string_view text);
// readlink(2); throws Error naming the path.
std::string read_link(const std::string& path);
// readlinkat(2) below a directory's descriptor (AT_FDCWD: of the path itself). A failure is an expected outcome, and
// errno says which.
std::optional<std::string> try_read_link(int directory, const std::string& name);

}  // namespace crx
