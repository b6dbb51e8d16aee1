// Writing pages into the mappings of a vessel, one way for each kind of backing.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "agent-dst/vessel/first_pages.hpp"
#include "agent-dst/vessel/layout.hpp"
#include "agent-dst/vessel/vessel_calls.hpp"

namespace crx {

// Pages go into the vessel by way of
//   anonymous, private    userfaultfd while they are the first ones (FirstPages), then as those below
//   private file,         writable: gathered, many ranges to one process_vm_writev(2);
//   shared object         read-only: /proc/PID/mem, which writes whatever the protection
//   huge pages            writable: gathered; read-only: mprotect(2) around it, since /proc/PID/mem does not write
//   there
// Bytes must stay where they are until flush(). Errors are Error(kernel) that name the address.
class MappingWriter {
 public:
  // memory: /proc/PID/mem, vmas: all mappings. All must outlive this object.
  MappingWriter(VesselCalls& calls, int memory, const std::vector<Vma>& vmas, FirstPages& first)
      : calls_(calls), memory_(memory), vmas_(vmas), first_(first) {}

  // Whole pages that lie in `vma`, which is one of the mappings.
  void write(const Vma& vma, uint64_t addr, std::span<const std::byte> bytes);
  // Writes the gathered ranges. Must be called at the end; the destructor does not write.
  void flush();

 private:
  void write_anonymous(const Vma& vma, uint64_t addr, std::span<const std::byte> bytes);
  void write_mapped(const Vma& vma, uint64_t addr, std::span<const std::byte> bytes);
  void write_huge(const Vma& vma, uint64_t addr, std::span<const std::byte> bytes);
  void gather(uint64_t addr, std::span<const std::byte> bytes);
  void protect(const Vma& vma, uint32_t prot);

  VesselCalls& calls_;
  int memory_;
  const std::vector<Vma>& vmas_;
  FirstPages& first_;
  std::vector<iovec> local_, remote_;  // gathered
  std::size_t gathered_ = 0;           // bytes
  bool some_huge_ = false;
};

}  // namespace crx
