#include "wire/host_info.hpp"

#include <cpuid.h>
#include <elf.h>
#include <fmt/format.h>
#include <sys/auxv.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>

#include <span>

#include "common/base/clock.hpp"
#include "common/base/digest.hpp"
#include "common/base/fd.hpp"
#include "common/base/journal.hpp"
#include "common/kernel/process/time_namespace.hpp"
#include "common/proc/maps.hpp"

#ifndef CRX_VERSION
#define CRX_VERSION "0.1.0"
#endif

namespace crx::wire {
namespace {

void fill_cpu(HostInfo& info) {
  unsigned a = 0, b = 0, c = 0, d = 0;
  __get_cpuid(1, &a, &b, &c, &d);
  info.add_cpuid(c);
  info.add_cpuid(d);
  const bool xsave = (c & bit_OSXSAVE) != 0;
  unsigned b7 = 0, c7 = 0, d7 = 0, a71 = 0;
  if (__get_cpuid_count(7, 0, &a, &b7, &c7, &d7)) __get_cpuid_count(7, 1, &a71, &b, &c, &d);
  for (const unsigned word : {b7, c7, d7, a71}) info.add_cpuid(word);
  if (!xsave) return;
  unsigned low = 0, high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  info.set_xfeatures(low | uint64_t{high} << 32);
}

Digest128 vdso_digest() {
  for (const proc::MapsEntry& vma : proc::parse_maps(read_file("/proc/self/maps"))) {
    if (vma.kind != proc::MapKind::vdso) continue;
    return digest128(std::span(reinterpret_cast<const std::byte*>(vma.start), vma.bytes()));
  }
  return {};
}

// Whether the other CPU lacks feature bits that a program may rely on. Leaf 1 ecx contains OSXSAVE, which belongs to
// the kernel.
bool lacks_instructions(const HostInfo& source, const HostInfo& destination) {
  for (int i = 0; i < source.cpuid_size(); ++i) {
    const uint32_t there = i < destination.cpuid_size() ? destination.cpuid(i) : 0;
    if ((source.cpuid(i) & ~there) != 0) return true;
  }
  return false;
}

Finding finding(std::string object, std::string reason, std::string remedy) {
  Finding f;
  f.set_fatal(true);
  f.set_object(std::move(object));
  f.set_reason(std::move(reason));
  f.set_remedy(std::move(remedy));
  return f;
}

}  // namespace

HostInfo local_host_info() {
  HostInfo info;
  utsname names{};
  ::uname(&names);
  info.set_name(names.nodename);
  info.set_kernel_release(names.release);
  info.set_boot_id(read_boot_id());
  info.set_tool_version(CRX_VERSION);
  fill_cpu(info);
  info.set_vdso_digest(std::string(vdso_digest().view()));
  // Readings in the kernel's initial time namespace, to which the offsets of time namespaces refer.
  const TimeOffsets ours = time_offsets(0);
  info.set_monotonic_ns(clock_ns(CLOCK_MONOTONIC) - ours.monotonic_ns);
  info.set_boottime_ns(clock_ns(CLOCK_BOOTTIME) - ours.boottime_ns);
  return info;
}

std::vector<Finding> compare_hosts(const HostInfo& source, const HostInfo& destination) {
  std::vector<Finding> findings;
  if (source.vdso_digest() != destination.vdso_digest()) {
    findings.push_back(finding(fmt::format("kernel {} at the destination", destination.kernel_release()),
                               fmt::format("its vDSO differs from that of kernel {} here", source.kernel_release()),
                               "boot both hosts with the same kernel build"));
  }
  if ((source.xfeatures() & ~destination.xfeatures()) != 0) {
    findings.push_back(finding("the CPU at the destination",
                               fmt::format("lacks register state in use here (XCR0 {:#x}, there {:#x})",
                                           source.xfeatures(), destination.xfeatures()),
                               "move to a host with the same or a newer CPU"));
  } else if (lacks_instructions(source, destination)) {
    findings.push_back(finding("the CPU at the destination", "lacks instruction sets that programs here may use",
                               "move to a host with the same or a newer CPU"));
  }
  return findings;
}

}  // namespace crx::wire
