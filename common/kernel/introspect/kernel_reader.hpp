// Reading the kernel's own structures, where it has no interface that tells: by a BPF program that is run on request
// (BPF_PROG_TEST_RUN, bpf(2)) and copies them, with offsets from the types that the running kernel describes. It only
// reads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <type_traits>
#include <vector>

#include "common/base/fd.hpp"
#include "common/base/mapping.hpp"
#include "common/kernel/introspect/kernel_types.hpp"

namespace crx {

class KernelReader {
 public:
  // Nothing where we may not (CAP_BPF and CAP_PERFMON) or the kernel does not describe its types
  // (CONFIG_DEBUG_INFO_BTF). Takes about a millisecond.
  static std::optional<KernelReader> open();

  // At most so many at once.
  static constexpr std::size_t kMostBytes = 4096;

  // The structure of the calling thread.
  uint64_t current_task() const;
  // Under a microsecond. False where the address cannot be read; nothing is copied then.
  [[nodiscard]] bool copy(uint64_t address, void* to, std::size_t bytes) const;
  // An address that cannot be read gives 0.
  uint64_t word(uint64_t address) const { return value<uint64_t>(address); }
  uint32_t half(uint64_t address) const { return value<uint32_t>(address); }

  // What is to be added to a per-CPU address to have that CPU's (__per_cpu_offset, which no interface tells); by CPU.
  // Empty where it cannot be found out.
  std::vector<uint64_t> cpu_offsets() const;

  // KernelTypes'.
  uint64_t offset(std::string_view structure, std::string_view member) const {
    return types_.offset(structure, member);
  }
  uint64_t size(std::string_view structure) const { return types_.size(structure); }

 private:
  KernelReader(Fd program, Mapping room, KernelTypes types);
  template <typename T>
  T value(uint64_t address) const {
    T got{};
    if (address == 0 || !copy(address, &got, sizeof got)) return 0;
    return got;
  }

  Fd program_;
  Mapping room_;  // that it copies to
  KernelTypes types_;
};

}  // namespace crx
