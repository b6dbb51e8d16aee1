// The kernel's structures of threads that we trace.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <set>

#include "common/kernel/introspect/kernel_reader.hpp"

namespace crx {

class TracedTasks {
 public:
  // Throws Error(unsupported) where the kernel's structures are others.
  explicit TracedTasks(const KernelReader& reader);

  // The address of the task_struct of each of these threads that the calling thread traces; others are left out. It
  // stays where it is until the thread has ended and is waited for. Two microseconds for each thread that was traced
  // since the first of them.
  std::map<pid_t, uint64_t> find(const KernelReader& reader, std::set<pid_t> tids) const;

 private:
  uint64_t ptraced_, ptrace_entry_, thread_pid_;       // task_struct
  uint64_t level_, numbers_, upid_bytes_, number_at_;  // pid
};

}  // namespace crx
