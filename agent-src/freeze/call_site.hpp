// Where a victim has code that makes a system call for us before it has an arena, and after.
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
  // `syscall; ret` of some library, or, where sigreturn_addr is 0, the vDSO's `syscall`.
  uint64_t syscall_addr = 0;
  // Code that calls rt_sigreturn(2): what every C library and Go bring for their signal handlers. 0: none was found;
  // a thread whose tracer dies in the middle of a call is lost then.
  uint64_t sigreturn_addr = 0;
  PageRange main_stack;  // "[stack]"; empty where there is none
};

// Remembers what it found in which file, so that a look during the stop reads little.
class CallSites {
 public:
  // Throws Error: victim_gone; unsupported where the process has neither such code nor a vDSO.
  CallSite of(pid_t pid);

 private:
  struct Offsets {  // in the file
    uint64_t syscall_ret = 0, sigreturn = 0;
  };
  using FileId = std::pair<uint64_t, uint64_t>;  // device, inode

  std::optional<Offsets> offsets_in(pid_t pid, const proc::MapsEntry& vma);

  std::map<FileId, std::optional<Offsets>> known_;
};

}  // namespace crx
