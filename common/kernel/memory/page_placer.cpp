#include "common/kernel/memory/page_placer.hpp"

#include <errno.h>
#include <fcntl.h>

#include "common/kernel/memory/uapi_memory.hpp"

namespace crx {

unsigned PagePlacer::create_flags() noexcept {
  return O_CLOEXEC | O_NONBLOCK;
}

std::optional<PagePlacer> PagePlacer::adopt(Fd fd) {
  uffdio_api api{};
  api.api = UFFD_API;
  api.features = UFFD_FEATURE_SIGBUS;
  if (!fd || ::ioctl(fd.get(), UFFDIO_API, &api) != 0) return std::nullopt;
  return PagePlacer(std::move(fd));
}

bool PagePlacer::register_range(PageRange range) const {
  uffdio_register request{};
  request.range = {range.start, range.bytes()};
  request.mode = UFFDIO_REGISTER_MODE_MISSING;
  return ::ioctl(fd_.get(), UFFDIO_REGISTER, &request) == 0;
}

std::size_t PagePlacer::place(uint64_t addr, std::span<const std::byte> bytes) const {
  std::size_t done = 0;
  while (done < bytes.size()) {
    uffdio_copy request{};
    request.dst = addr + done;
    request.src = reinterpret_cast<uint64_t>(bytes.data() + done);
    request.len = bytes.size() - done;
    const int result = ::ioctl(fd_.get(), UFFDIO_COPY, &request);
    if (request.copy > 0) done += static_cast<std::size_t>(request.copy);
    // EAGAIN: a part was copied, or the address space is changing; retry the rest as long as there is progress.
    if (result != 0 && (errno != EAGAIN || request.copy <= 0)) break;
  }
  return done;
}

}  // namespace crx
