#include "common/image/tmpfs_pages.hpp"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "common/base/mapping.hpp"
#include "common/base/page.hpp"

namespace crx {

std::optional<TmpfsPages> TmpfsPages::of(int file) {
  struct statfs fs {};
  if (::fstatfs(file, &fs) != 0 || fs.f_type != TMPFS_MAGIC || static_cast<uint64_t>(fs.f_bsize) != kPageSize)
    return std::nullopt;
  Fd userfaultfd(static_cast<int>(::syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK)));
  uffdio_api api{};
  api.api = UFFD_API;
  if (!userfaultfd || ::ioctl(userfaultfd.get(), UFFDIO_API, &api) != 0) return std::nullopt;
  return TmpfsPages(file, std::move(userfaultfd));
}

bool TmpfsPages::fill(uint64_t offset, std::span<const std::byte> bytes) const {
  if (bytes.empty() || offset % kPageSize != 0 || bytes.size() % kPageSize != 0) return false;
  const Mapping window =
      Mapping::map(bytes.size(), PROT_READ | PROT_WRITE, MAP_SHARED, file_, static_cast<off_t>(offset));
  uffdio_register range{};
  range.range = {reinterpret_cast<uint64_t>(window.data()), bytes.size()};
  range.mode = UFFDIO_REGISTER_MODE_MISSING;
  uffdio_copy copy{};
  copy.dst = range.range.start;
  copy.src = reinterpret_cast<uint64_t>(bytes.data());
  copy.len = bytes.size();
  return ::ioctl(userfaultfd_.get(), UFFDIO_REGISTER, &range) == 0 &&
         ::ioctl(userfaultfd_.get(), UFFDIO_COPY, &copy) == 0;
}

}  // namespace crx
