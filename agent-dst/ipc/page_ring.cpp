#include "agent-dst/ipc/page_ring.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent-dst/ipc/session_packets.hpp"
#include "common/base/error.hpp"
#include "wire/link.hpp"

namespace crx::ipc {
namespace {

constexpr std::size_t kRingBytes = kSlots * wire::kBatchBytes;
constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW;

}  // namespace

Fd make_ring() {
  Fd ring(::memfd_create("crx-pages", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!ring || ::ftruncate(ring.get(), kRingBytes) != 0 ||
      ::fcntl(ring.get(), F_ADD_SEALS, kSeals | F_SEAL_SEAL) != 0) {
    throw_errno("starting an engine", "the page ring");
  }
  return ring;
}

PageRing::PageRing(Fd memfd, bool writable) {
  struct stat info {};
  const int seals = ::fcntl(memfd.get(), F_GET_SEALS);
  if (::fstat(memfd.get(), &info) != 0 || info.st_size != static_cast<off_t>(kRingBytes) || seals < 0 ||
      (seals & kSeals) != kSeals) {
    throw Error(ErrorCode::bug, "mapping the page ring", "its size or its seals are wrong");
  }
  memory_ = Mapping::map(kRingBytes, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, memfd.get());
}

std::span<std::byte> PageRing::slot(uint32_t slot) const {
  return memory_.span().subspan(std::size_t{slot} * wire::kBatchBytes, wire::kBatchBytes);
}

}  // namespace crx::ipc
