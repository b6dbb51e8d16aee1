// The memory that the mappings of a tree may come to need, as both agents reckon it.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <vector>

#include "common/image/schema/mm.pb.h"

namespace crx {

// Adds up, in bytes:
// - private mappings that can be written to, or could be once (commit_charged), unless they were made with
//   MAP_NORESERVE and are not locked: the kernel charges these to the commit limit (accountable_mapping() in
//   mm/vma.c);
// - private mappings in huge pages, which are reserved when they are mapped, again without MAP_NORESERVE;
// - every shared-memory object once, up to the end of its last mapping.
// Pages that processes share since a fork count in each of them.
class ClaimedMemory {
 public:
  // Replaces the mappings of address space `space` (the pid of its task). mm: as in mm-PID.img, of any content.
  // commit_charged: start addresses of private mappings that count although they cannot be written to.
  void set(pid_t space, const img::mm_entry& mm, const std::vector<uint64_t>& commit_charged);
  // Gives `space` the mappings that `from` has.
  void copy(pid_t from, pid_t space);
  void erase(pid_t space);
  // Returns UINT64_MAX where the sum is larger than that.
  uint64_t bytes() const;

 private:
  struct Claim {
    uint64_t bytes = 0;                    // private memory
    std::map<uint64_t, uint64_t> objects;  // shmid -> end of the last mapping in it
  };
  std::map<pid_t, Claim> spaces_;
};

}  // namespace crx
