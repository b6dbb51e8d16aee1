// Memory that the kernel knows by its descriptors (struct page) only, read through its map of all memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>

#include "common/kernel/introspect/kernel_reader.hpp"

namespace crx {

class KernelPages {
 public:
  // Given one of our own pages, the address of its descriptor; 0 where it cannot be found out.
  using FindDescriptor = std::function<uint64_t(const std::byte* page)>;
  // Finds out where the kernel has its descriptors and its map, by pages of ours with known numbers (pagemap) and
  // content. Nothing where that does not fit together. Takes less than a millisecond.
  static std::optional<KernelPages> find(const KernelReader& reader, const FindDescriptor& find_descriptor);

  // `offset` may lie in a page behind that one, where they were allocated together. False where nothing can be read.
  [[nodiscard]] bool copy(const KernelReader& reader, uint64_t descriptor, uint64_t offset, char* to,
                          std::size_t bytes) const;

 private:
  KernelPages(uint64_t descriptors, uint64_t descriptor_bytes, uint64_t map)
      : descriptors_(descriptors), descriptor_bytes_(descriptor_bytes), map_(map) {}
  uint64_t descriptors_, descriptor_bytes_;  // of page 0
  uint64_t map_;                             // where page 0 is
};

}  // namespace crx
