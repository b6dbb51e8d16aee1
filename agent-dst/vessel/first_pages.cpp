#include "agent-dst/vessel/first_pages.hpp"

#include <sys/syscall.h>

#include <utility>

#include "common/kernel/process/pidfd.hpp"

namespace crx {

void FirstPages::make(VesselCalls& calls) {
  const int64_t fd = calls.try_call("making a userfaultfd", SYS_userfaultfd, PagePlacer::create_flags());
  if (fd < 0) return;
  placer_ = PagePlacer::adopt(try_get_fd(calls.pidfd(), static_cast<int>(fd)));
  calls.call("closing the userfaultfd", SYS_close, fd);
}

std::size_t FirstPages::place(const std::vector<Vma>& vmas, uint64_t addr, std::span<const std::byte> bytes) {
  if (!placer_) return 0;
  // All mappings are registered at once: neighbours keep equal flags, and so the kernel keeps them merged.
  if (!std::exchange(registered_, true)) {
    for (const Vma& vma : vmas) {
      if (vma.kind() == Vma::Kind::anonymous) placer_->register_range({vma.start, vma.end});
    }
  }
  const std::size_t done = placer_->place(addr, bytes);
  // A page exists already: the first round is over, and plain writes are better for the rest of the pages.
  if (done < bytes.size()) placer_.reset();
  return done;
}

}  // namespace crx
