#include "common/kernel/process/sched.hpp"

#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <string>

#include "common/base/error.hpp"
#include "common/base/fd.hpp"

namespace crx {
namespace {

constexpr int kIoprioWhoProcess = 1;
constexpr std::size_t kMaskWords = 128;  // 8192 CPUs, the most that the kernel can be built for

std::string thread_name(pid_t tid) {
  return "thread " + std::to_string(tid);
}

int errno_of(long result) {
  return result < 0 ? errno : 0;
}

}  // namespace

SchedAttr sched_attr(pid_t tid) {
  SchedAttr attr;
  if (::syscall(SYS_sched_getattr, tid, &attr, sizeof attr, 0) < 0)
    throw_errno("reading the scheduling", thread_name(tid));
  attr.size = sizeof attr;
  return attr;
}

int set_sched_attr(pid_t tid, const SchedAttr& attr) {
  return errno_of(::syscall(SYS_sched_setattr, tid, &attr, 0));
}

int nice_value(pid_t tid) {
  const long value = ::syscall(SYS_getpriority, 0 /* PRIO_PROCESS */, tid);
  if (value < 0) throw_errno("reading the nice value", thread_name(tid));
  return 20 - static_cast<int>(value);
}

uint32_t io_priority(pid_t tid) {
  const long value = ::syscall(SYS_ioprio_get, kIoprioWhoProcess, tid);
  if (value < 0) throw_errno("reading the I/O priority", thread_name(tid));
  return static_cast<uint32_t>(value);
}

int set_io_priority(pid_t tid, uint32_t ioprio) {
  return errno_of(::syscall(SYS_ioprio_set, kIoprioWhoProcess, tid, ioprio));
}

CpuMask affinity(pid_t tid) {
  CpuMask mask(kMaskWords);
  const long bytes = ::syscall(SYS_sched_getaffinity, tid, mask.size() * sizeof(uint64_t), mask.data());
  if (bytes < 0) throw_errno("reading the CPU affinity", thread_name(tid));
  mask.resize(static_cast<std::size_t>(bytes) / sizeof(uint64_t));
  return mask;
}

int set_affinity(pid_t tid, const CpuMask& mask) {
  return errno_of(::syscall(SYS_sched_setaffinity, tid, mask.size() * sizeof(uint64_t), mask.data()));
}

// Parses a list such as "0-3,8".
CpuMask online_cpus() {
  CpuMask mask;
  const std::string text = read_file("/sys/devices/system/cpu/online");
  for (const char* at = text.c_str(); *at != '\0' && *at != '\n';) {
    char* end = nullptr;
    const unsigned long first = std::strtoul(at, &end, 10);
    if (end == at) break;
    const unsigned long last = *end == '-' ? std::strtoul(end + 1, &end, 10) : first;
    for (unsigned long cpu = first; cpu <= last && cpu < kMaskWords * 64; ++cpu) {
      if (mask.size() <= cpu / 64) mask.resize(cpu / 64 + 1);
      mask[cpu / 64] |= uint64_t{1} << (cpu % 64);
    }
    at = *end == ',' ? end + 1 : end;
  }
  return mask;
}

}  // namespace crx
