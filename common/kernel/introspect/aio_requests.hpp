// How many requests of asynchronous I/O (io_submit(2)) are in flight: fs/aio.c.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>

#include "common/kernel/introspect/bpf/programs.h"

namespace crx {

// Part of a KernelView. Single-threaded.
class AioRequests {
 public:
  // Loads the program. Returns 0, or an errno: EPERM without CAP_BPF and CAP_PERFMON.
  static int open(std::optional<AioRequests>& requests);

  // Of a process whose threads make no such calls meanwhile: the context's number (the address of its ring) -> requests
  // that were submitted and have no event yet. Those that are being submitted count. Empty where it cannot be read, or
  // changed while it was read. Throws Error(kernel).
  std::optional<std::map<uint64_t, uint64_t>> in_flight(pid_t pid) const;

 private:
  struct Unload {
    void operator()(void* skeleton) const { crx_unload_aio_programs(skeleton); }
  };
  explicit AioRequests(const crx_aio_programs& programs) : programs_(programs), skeleton_(programs.skeleton) {}
  std::optional<std::map<uint64_t, uint64_t>> read_once(pid_t pid) const;

  crx_aio_programs programs_;
  std::unique_ptr<void, Unload> skeleton_;
};

}  // namespace crx
