#include "agent-src/freeze/call_site.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

#include "common/base/error.hpp"
#include "common/base/fd.hpp"
#include "common/remote/traced_thread.hpp"

namespace crx {
namespace {

using namespace std::string_view_literals;

constexpr auto kSyscall = "\x0f\x05"sv;
constexpr auto kSyscallRet = "\x0f\x05\xc3"sv;
// mov $15, %rax or %eax; syscall: the SA_RESTORER code of glibc and Go, and of musl.
constexpr std::array kSigreturns = {"\x48\xc7\xc0\x0f\x00\x00\x00\x0f\x05"sv, "\xb8\x0f\x00\x00\x00\x0f\x05"sv};
constexpr uint64_t kMostBytes = uint64_t{8} << 20;  // the part of one file that is searched

std::string read_memory(const Fd& mem, uint64_t addr, std::size_t bytes) {
  std::string text(bytes, '\0');
  const ssize_t got = ::pread(mem.get(), text.data(), text.size(), static_cast<off_t>(addr));
  text.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  return text;
}

std::size_t find_sigreturn(std::string_view text) {
  for (const std::string_view code : kSigreturns) {
    if (const auto at = text.find(code); at != std::string_view::npos) return at;
  }
  return std::string_view::npos;
}

bool has_shadow_stack(pid_t pid) {
  const std::string status = read_file(fmt::format("/proc/{}/status", pid));
  const auto at = status.find("x86_Thread_features:");
  return at != std::string::npos && status.substr(at, status.find('\n', at) - at).find("shstk") != std::string::npos;
}

// C libraries come first: they have both pieces of code and are small.
std::vector<const proc::MapsEntry*> candidates(const std::vector<proc::MapsEntry>& maps) {
  std::vector<const proc::MapsEntry*> found;
  for (const proc::MapsEntry& vma : maps) {
    if (vma.kind == proc::MapKind::file && vma.executable && vma.readable && !vma.writable) found.push_back(&vma);
  }
  std::stable_partition(found.begin(), found.end(), [](const proc::MapsEntry* vma) {
    return vma->name.find("/libc") != std::string::npos || vma->name.find("/ld-musl") != std::string::npos;
  });
  return found;
}

}  // namespace

std::optional<CallSites::Offsets> CallSites::offsets_in(pid_t pid, const proc::MapsEntry& vma) {
  const FileId file{makedev(vma.dev_major, vma.dev_minor), vma.inode};
  if (const auto known = known_.find(file); known != known_.end()) return known->second;
  const Fd mem = open_checked(fmt::format("/proc/{}/mem", pid), O_RDONLY);
  const std::string text = read_memory(mem, vma.start, std::min(vma.bytes(), kMostBytes));
  const auto ret = text.find(kSyscallRet);
  const auto sigreturn = find_sigreturn(text);
  std::optional<Offsets>& found = known_[file];
  if (ret != std::string::npos && sigreturn != std::string::npos)
    found = Offsets{vma.pgoff + ret, vma.pgoff + sigreturn};
  return found;
}

CallSite CallSites::of(pid_t pid) {
  const std::string proc = fmt::format("/proc/{}/", pid);
  const auto maps = proc::parse_maps(read_file(proc + "maps"));
  if (maps.empty()) throw_gone(pid, "looking for code that makes system calls");
  const Fd mem = open_checked(proc + "mem", O_RDONLY);
  CallSite site;
  for (const proc::MapsEntry& vma : maps) {
    if (vma.kind == proc::MapKind::stack) site.main_stack = {vma.start, vma.end};
  }
  for (const proc::MapsEntry* vma : has_shadow_stack(pid) ? std::vector<const proc::MapsEntry*>() : candidates(maps)) {
    const auto offsets = offsets_in(pid, *vma);
    if (!offsets || offsets->syscall_ret < vma->pgoff || offsets->sigreturn < vma->pgoff) continue;
    const uint64_t call = vma->start + offsets->syscall_ret - vma->pgoff;
    const uint64_t sigreturn = vma->start + offsets->sigreturn - vma->pgoff;
    // The offsets are those of the file; the process's memory shows whether it has patched its code.
    if (read_memory(mem, call, kSyscallRet.size()) != kSyscallRet ||
        find_sigreturn(read_memory(mem, sigreturn, kSigreturns[0].size())) != 0) {
      continue;
    }
    site.syscall_addr = call;
    site.sigreturn_addr = sigreturn;
    return site;
  }
  for (const proc::MapsEntry& vma : maps) {
    if (vma.kind != proc::MapKind::vdso) continue;
    const auto at = read_memory(mem, vma.start, vma.bytes()).find(kSyscall);
    if (at == std::string::npos) continue;
    site.syscall_addr = vma.start + at;
    return site;
  }
  throw Error(ErrorCode::unsupported, "looking for code that makes system calls",
              "neither a library nor the vDSO of the process has any")
      .with_pid(pid);
}

}  // namespace crx
