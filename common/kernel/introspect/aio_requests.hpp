// Counts the requests of asynchronous I/O (io_submit(2)) that are in flight. The kernel's side is in fs/aio.c.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>

#include "common/kernel/introspect/bpf/programs.h"

namespace crx {

// Part of a KernelView; owns its BPF program. Single-threaded.
class AioRequests {
 public:
  // Loads the program and sets `requests`. Returns 0, or an errno: EPERM without CAP_BPF and CAP_PERFMON.
  static int open(std::optional<AioRequests>& requests);

  // Returns, for each AIO context of a process, how many requests were submitted and have no event yet; requests that
  // are just being submitted count, too. The key is the context's number (the address of its ring). The process's
  // threads must make no AIO calls meanwhile. Returns nullopt where the counts cannot be read, or changed in each of
  // three attempts. Throws Error(kernel).
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
