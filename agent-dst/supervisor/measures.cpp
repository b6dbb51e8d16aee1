#include "agent-dst/supervisor/measures.hpp"

#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "common/base/clock.hpp"
#include "common/base/directory.hpp"
#include "common/base/error.hpp"
#include "common/base/log.hpp"
#include "common/base/page.hpp"
#include "common/proc/proc_dir.hpp"
#include "common/proc/stat.hpp"

namespace crx::supervisor {
namespace {

uint64_t micros(const timeval& time) {
  return static_cast<uint64_t>(time.tv_sec) * 1'000'000 + static_cast<uint64_t>(time.tv_usec);
}

void measure_process(ipc::AgentCounters& counters) {
  rusage usage{};
  if (::getrusage(RUSAGE_SELF, &usage) == 0) counters.cpu_us = micros(usage.ru_utime) + micros(usage.ru_stime);
  if (const auto self = ProcDir::open(::getpid())) {
    if (const auto stat = self->stat()) {
      counters.resident_bytes = static_cast<uint64_t>(stat->rss) * kPageSize;
      counters.virtual_bytes = stat->vsize;
    }
    if (const auto descriptors = self->descriptors()) counters.open_descriptors = descriptors->size();
  }
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) counters.max_descriptors = limit.rlim_cur;
}

}  // namespace

void measure_agent(const std::string& store, ipc::AgentCounters& counters) noexcept {
  counters.beat_ms = static_cast<uint64_t>(monotonic_us() / 1000);
  struct statvfs space {};
  const bool is_there = ::statvfs(store.c_str(), &space) == 0;
  counters.store_is_writable = is_there && ::access(store.c_str(), W_OK) == 0 ? 1 : 0;
  counters.store_free_bytes = is_there ? space.f_bavail * space.f_frsize : 0;
  counters.store_total_bytes = is_there ? space.f_blocks * space.f_frsize : 0;
  try {
    measure_process(counters);
  } catch (const std::exception& error) {
    log::debug("measuring the agent: {}", error.what());
  }
}

}  // namespace crx::supervisor
