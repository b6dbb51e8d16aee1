#include "common/kernel/memory/userfaultfd.hpp"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/base/error.hpp"
#include "common/kernel/memory/pagemap.hpp"
#include "common/kernel/memory/uapi_memory.hpp"

namespace crx {
namespace {

constexpr uint64_t kFeatures = UFFD_FEATURE_WP_ASYNC | UFFD_FEATURE_WP_UNPOPULATED | UFFD_FEATURE_WP_HUGETLBFS_SHMEM;

bool shake_hands(int fd) {
  uffdio_api api{};
  api.api = UFFD_API;
  api.features = kFeatures;
  return ::ioctl(fd, UFFDIO_API, &api) == 0;
}

}  // namespace

unsigned WriteProtectFd::create_flags() noexcept {
  return O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY;
}

bool WriteProtectFd::supported() {
  static const bool found = [] {
    const Fd fd(static_cast<int>(::syscall(SYS_userfaultfd, create_flags())));
    return fd && shake_hands(fd.get()) && Pagemap::features().scan;
  }();
  return found;
}

WriteProtectFd WriteProtectFd::adopt(Fd fd) {
  if (!shake_hands(fd.get())) {
    throw Error(ErrorCode::unsupported, "tracking writes", "userfaultfd without asynchronous write protection", errno)
        .with_hint("Linux 6.7 has it; --tracker hash works without");
  }
  return WriteProtectFd(std::move(fd));
}

RegisterStatus WriteProtectFd::register_range(PageRange range) const {
  uffdio_register request{};
  request.range = {range.start, range.bytes()};
  request.mode = UFFDIO_REGISTER_MODE_WP;
  if (::ioctl(fd_.get(), UFFDIO_REGISTER, &request) == 0) return RegisterStatus::ok;
  switch (errno) {
    case EINVAL:
    case ENOMEM:
      return RegisterStatus::vanished;
    case EBUSY:
      return RegisterStatus::taken;
    case EPERM:
      return RegisterStatus::not_writable;
    case ESRCH:
      return RegisterStatus::gone;
    default:
      throw_errno("tracking writes", fmt::format("registering {:x}-{:x}", range.start, range.end));
  }
}

void WriteProtectFd::unregister_range(PageRange range) const {
  uffdio_range request{range.start, range.bytes()};
  if (::ioctl(fd_.get(), UFFDIO_UNREGISTER, &request) == 0) return;
  if (errno == EINVAL || errno == ENOMEM || errno == ESRCH) return;
  throw_errno("tracking writes", fmt::format("unregistering {:x}-{:x}", range.start, range.end));
}

bool WriteProtectFd::unprotect(PageRange range) const noexcept {
  uffdio_writeprotect request{};
  request.range = {range.start, range.bytes()};
  return ::ioctl(fd_.get(), UFFDIO_WRITEPROTECT, &request) == 0;
}

}  // namespace crx
