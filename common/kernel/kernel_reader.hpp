// Reading the kernel's own structures, where it has no interface that tells: by a BPF program that is run on request
// (BPF_PROG_TEST_RUN, bpf(2)), with offsets from the types that the running kernel describes (/sys/kernel/btf/vmlinux,
// Documentation/bpf/btf.rst). It only reads.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/fd.hpp"

namespace crx {

class KernelReader {
 public:
  // Nothing where we may not (CAP_BPF and CAP_PERFMON) or the kernel does not describe its types (CONFIG_DEBUG_INFO_BTF).
  // Takes some 10 ms.
  static std::optional<KernelReader> open();

  // The structure of the calling thread.
  uint64_t current_task() const;
  // An address that cannot be read gives 0.
  uint64_t word(uint64_t address) const;
  uint32_t half(uint64_t address) const;

  // What is to be added to a per-CPU address to have that CPU's (__per_cpu_offset, which no interface tells); by CPU. Empty
  // where it cannot be found out.
  std::vector<uint64_t> cpu_offsets() const;

  // Byte offset of a member of a struct, also of one in an anonymous struct or union of it. Throws Error(unsupported) naming
  // it where this kernel has none.
  uint64_t offset(std::string_view structure, std::string_view member) const;

 private:
  KernelReader(Fd program, std::string types);
  uint32_t run(uint64_t address, uint64_t shift) const;
  std::optional<uint64_t> find_member(uint32_t type, std::string_view member) const;
  std::string_view name_at(uint32_t offset) const;
  uint32_t at(std::size_t offset) const;

  Fd program_;
  std::string types_;             // the file
  std::size_t names_ = 0;         // in it
  std::vector<uint32_t> places_;  // in it, of each type; the first is no type
};

}  // namespace crx
