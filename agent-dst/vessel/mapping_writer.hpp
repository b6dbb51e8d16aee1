// Writes pages into the mappings of a vessel, in the way that the kind of backing requires.
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

// The kind of a mapping decides how its pages are written:
//   anonymous, private    through userfaultfd(2) while they are the first ones (FirstPages), later like those below
//   private file,         writable: gathered, many ranges in one process_vm_writev(2);
//   shared object         read-only: through /proc/PID/mem, which ignores the protection
//   huge pages            writable: gathered;
//                         read-only: between two mprotect(2) calls, since /proc/PID/mem cannot write there
// Gathered bytes are not copied: the caller's buffer must stay unchanged until flush(). Failures throw Error(kernel)
// that names the address. Single-threaded.
class MappingWriter {
 public:
  // memory: a descriptor of the vessel's /proc/PID/mem. vmas: all mappings of the vessel. All must outlive this object.
  MappingWriter(VesselCalls& calls, int memory, const std::vector<Vma>& vmas, FirstPages& first)
      : calls_(calls), memory_(memory), vmas_(vmas), first_(first) {}

  // Writes or gathers whole pages that lie in `vma`, which is one of the mappings.
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
