// How many requests of asynchronous I/O (io_submit(2)) are under way: fs/aio.c.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "common/kernel/introspect/kernel_reader.hpp"
#include "common/kernel/introspect/traced_tasks.hpp"

namespace crx {

class AioRequests {
 public:
  // Nothing where it cannot be told. Takes about a millisecond.
  static std::optional<AioRequests> open();

  // Of a process that the calling thread traces: the context's number (where its ring is mapped) -> requests that were
  // submitted and have no event yet. Those that are being submitted count. Throws Error where the process is not
  // traced.
  std::map<uint64_t, uint64_t> under_way(pid_t pid) const;
  // The same for the calling process, for tests.
  std::map<uint64_t, uint64_t> own() const;

 private:
  explicit AioRequests(KernelReader reader);
  std::map<uint64_t, uint64_t> of_task(uint64_t task) const;
  uint64_t references(uint64_t ref) const;

  KernelReader reader_;
  TracedTasks traced_;
  std::vector<uint64_t> cpu_offsets_;
  struct Offsets {
    uint64_t mm;                  // task_struct
    uint64_t table;               // mm_struct
    uint64_t count, slots;        // kioctx_table
    uint64_t user_id, requests;   // kioctx
    uint64_t per_cpu, data, sum;  // percpu_ref, percpu_ref_data
  } at_{};
};

}  // namespace crx
