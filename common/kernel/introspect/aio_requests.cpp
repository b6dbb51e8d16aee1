#include "common/kernel/introspect/aio_requests.hpp"

#include <algorithm>
#include <utility>

#include "common/base/error.hpp"

namespace crx {
namespace {

constexpr uint64_t kBias = uint64_t{1} << 63;  // of a percpu_ref that counts on each CPU (lib/percpu-refcount.c)
constexpr uint64_t kFlagBits = 3;              // of its pointer: not counted on each CPU; ended
constexpr uint64_t kOwnReferences = 2;         // that a context holds of its requests' count (ioctx_alloc)
constexpr uint64_t kMaxContexts = 100'000;

}  // namespace

std::optional<AioRequests> AioRequests::open() {
  std::optional<KernelReader> reader = KernelReader::open();
  if (!reader) return std::nullopt;
  try {
    AioRequests requests(std::move(*reader));
    if (requests.cpu_offsets_.empty()) return std::nullopt;
    return requests;
  } catch (const Error&) {
    return std::nullopt;
  }
}

AioRequests::AioRequests(KernelReader reader) : reader_(std::move(reader)), traced_(reader_) {
  at_.mm = reader_.offset("task_struct", "mm");
  at_.table = reader_.offset("mm_struct", "ioctx_table");
  at_.count = reader_.offset("kioctx_table", "nr");
  at_.slots = reader_.offset("kioctx_table", "table");
  at_.user_id = reader_.offset("kioctx", "user_id");
  at_.requests = reader_.offset("kioctx", "reqs");
  at_.per_cpu = reader_.offset("percpu_ref", "percpu_count_ptr");
  at_.data = reader_.offset("percpu_ref", "data");
  at_.sum = reader_.offset("percpu_ref_data", "count");
  cpu_offsets_ = reader_.cpu_offsets();
}

uint64_t AioRequests::references(uint64_t ref) const {
  const uint64_t per_cpu = reader_.word(ref + at_.per_cpu);
  uint64_t sum = reader_.word(reader_.word(ref + at_.data) + at_.sum);
  if ((per_cpu & kFlagBits) != 0) return sum;
  sum -= kBias;
  for (const uint64_t offset : cpu_offsets_) sum += reader_.word(per_cpu + offset);
  return sum;
}

std::map<uint64_t, uint64_t> AioRequests::of_task(uint64_t task) const {
  std::map<uint64_t, uint64_t> found;
  const uint64_t table = reader_.word(reader_.word(task + at_.mm) + at_.table);
  if (table == 0) return found;
  const uint64_t count = std::min<uint64_t>(reader_.half(table + at_.count), kMaxContexts);
  for (uint64_t i = 0; i < count; ++i) {
    const uint64_t context = reader_.word(table + at_.slots + i * 8);
    if (context == 0) continue;
    found[reader_.word(context + at_.user_id)] = references(context + at_.requests) - kOwnReferences;
  }
  return found;
}

std::map<uint64_t, uint64_t> AioRequests::under_way(pid_t pid) const {
  const std::map<pid_t, uint64_t> tasks = traced_.find(reader_, {pid});
  if (tasks.empty())
    throw Error(ErrorCode::bug, "counting asynchronous I/O", "the process is not traced").with_pid(pid);
  return of_task(tasks.begin()->second);
}

std::map<uint64_t, uint64_t> AioRequests::own() const {
  return of_task(reader_.current_task());
}

}  // namespace crx
