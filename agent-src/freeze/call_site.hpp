// Finds code in the victim that can make a system call for us while there is no arena.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <utility>

#include "common/base/page.hpp"
#include "common/proc/maps.hpp"

namespace crx {

struct CallSite {
  // Address of `syscall; ret` in a library, or, if sigreturn_addr is 0, of `syscall` in the vDSO.
  uint64_t syscall_addr = 0;
  // Code that calls rt_sigreturn(2), which every C library and Go have for their signal handlers. 0: none was found; a
  // thread whose tracer dies in the middle of a call then crashes.
  uint64_t sigreturn_addr = 0;
  PageRange main_stack;  // "[stack]"; empty if there is none
};

// Caches the offsets by file, so that a search during the stop reads little.
class CallSites {
 public:
  // Finds a call site in the process. Throws Error(victim_gone), or Error(unsupported) if the process has neither such
  // code nor a vDSO.
  CallSite of(pid_t pid);

 private:
  struct Offsets {  // offsets in the file
    uint64_t syscall_ret = 0, sigreturn = 0;
  };
  using FileId = std::pair<uint64_t, uint64_t>;  // device, inode

  std::optional<Offsets> offsets_in(pid_t pid, const proc::MapsEntry& vma);

  std::map<FileId, std::optional<Offsets>> known_;
};

}  // namespace crx
