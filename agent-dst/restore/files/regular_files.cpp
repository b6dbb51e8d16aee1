// Files opened by name: regular files, directories, block devices, devices without state.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "agent-dst/restore/kind/fd_restorer.hpp"
#include "common/base/digest.hpp"
#include "common/base/error.hpp"

namespace crx {
namespace {

constexpr char kRegularFilesStep[] = "opening files";
constexpr uint64_t kMostCompared = uint64_t{4} << 30;

class RegularFiles final : public FdRestorer {
 public:
  const char* name() const override { return "regular files"; }
  // The file of a bound socket is restored with the socket.
  bool matches(const img::file_entry& entry) const override {
    return entry.type() == img::REG && entry.has_reg() && !S_ISSOCK(entry.reg().mode());
  }

  Fd open(const img::file_entry& entry, FdRestoreContext& context) override {
    const img::reg_file_entry& reg = entry.reg();
    const pid_t task = context.opener_of(entry.id());
    Fd fd = context.task.files.open_description(entry.id(), task);
    if ((reg.flags() & O_PATH) != 0) return fd;
    const img::crx_file_entry& extra = context.extra(entry.id());
    if (extra.has_rdev()) compare_device(fd.get(), extra.rdev(), reg.name());
    // The page cache here may hold old pages of a disk that another host has written.
    if (reg.has_mode() && S_ISBLK(reg.mode())) static_cast<void>(::posix_fadvise(fd.get(), 0, 0, POSIX_FADV_DONTNEED));
    if (extra.has_digest()) compare_content(fd.get(), task, extra.digest(), reg.name(), context.task.files.tasks());
    // ESRCH: a file of /proc whose process has ended; its position is already right.
    if (reg.pos() != 0 && ::lseek(fd.get(), static_cast<off_t>(reg.pos()), SEEK_SET) < 0 && errno != ESRCH)
      throw_errno(kRegularFilesStep, reg.name());
    return fd;
  }

 private:
  static void compare_device(int fd, uint32_t rdev, const std::string& path) {
    struct stat st {};
    if (::fstat(fd, &st) != 0) throw_errno(kRegularFilesStep, path);
    if (st.st_rdev != rdev) throw Error(ErrorCode::refused, kRegularFilesStep, path + " is another device here");
  }

  // The task may be allowed to write only, and then its source learns nothing of the content.
  static void compare_content(int fd, pid_t task, std::string_view digest, const std::string& path,
                              const TaskFiles& files) {
    const Fd content = files.open(task, fd, path, O_RDONLY);
    if (!content) throw_errno("comparing files", path);
    uint64_t left = kMostCompared;
    const auto before_piece = [&](uint64_t bytes) {
      if (bytes > left) throw Error(ErrorCode::refused, kRegularFilesStep, path + " is too large to be compared");
      left -= bytes;
    };
    if (digest_file(content.get(), path, before_piece).view() == digest) return;
    throw Error(ErrorCode::refused, kRegularFilesStep,
                path + " has other content here, and the program has it open for writing")
        .with_hint("put the same file there, or use storage that both hosts share");
  }
};

}  // namespace

FdRestorerPtr make_regular_file_restorer() {
  return std::make_unique<RegularFiles>();
}

}  // namespace crx
