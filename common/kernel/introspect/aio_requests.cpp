#include "common/kernel/introspect/aio_requests.hpp"

#include <unistd.h>

#include "common/kernel/introspect/bpf/records.h"
#include "common/kernel/introspect/bpf_iterator.hpp"

namespace crx {
namespace {

// The references that a context itself holds in its count of requests (ioctx_alloc()).
constexpr uint64_t kOwnReferences = 2;
constexpr int kAioAttempts = 3;

}  // namespace

int AioRequests::open(std::optional<AioRequests>& requests) {
  crx_aio_programs programs{};
  const int error = crx_load_aio_programs(&programs);
  if (error != 0) return error;
  *programs.cpus = static_cast<unsigned>(::sysconf(_SC_NPROCESSORS_CONF));
  requests = AioRequests(programs);
  return 0;
}

std::optional<std::map<uint64_t, uint64_t>> AioRequests::read_once(pid_t pid) const {
  std::map<uint64_t, uint64_t> found;
  for (const auto& record : run_iterator_for<crx_aio_record>(programs_.contexts, {.tid = pid})) {
    if (record.failed != 0 || record.references < kOwnReferences) return std::nullopt;
    found[record.user_id] = record.references - kOwnReferences;
  }
  return found;
}

// Each attempt reads the counts twice and accepts equal results: a request that ends on one CPU while the counts of the
// CPUs are added up may be missed or counted twice.
std::optional<std::map<uint64_t, uint64_t>> AioRequests::in_flight(pid_t pid) const {
  for (int attempt = 0; attempt < kAioAttempts; ++attempt) {
    auto first = read_once(pid);
    if (first && first == read_once(pid)) return first;
  }
  return std::nullopt;
}

}  // namespace crx
