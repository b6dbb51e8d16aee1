// The oracle of the memory tests: a page-by-page comparison that shares no code with what is tested.
#include <fmt/format.h>

#include "tests/unit/memory/victim.hpp"

namespace crx::test {
namespace {

constexpr uint64_t kPresent = uint64_t{3} << 62;  // present or swapped
constexpr uint64_t kFile = uint64_t{1} << 61;
constexpr uint64_t kGuard = uint64_t{1} << 58;

bool all_zero(const Page& page) {
  for (const std::byte b : page) {
    if (b != std::byte{0}) return false;
  }
  return true;
}

std::string compare_vma(pid_t pid, int pagemap, int mem, const MemoryVma& vma, const std::map<uint64_t, Page>& shadow) {
  Fd file;
  if (vma.kind == VmaKind::private_file) {
    file = try_open(fmt::format("/proc/{}/map_files/{:x}-{:x}", pid, vma.range.start, vma.range.end), O_RDONLY);
  }
  std::vector<uint64_t> entries(vma.range.bytes() / kPageSize);
  const auto got_entries =
      ::pread(pagemap, entries.data(), entries.size() * 8, static_cast<off_t>(vma.range.start / kPageSize * 8));
  if (got_entries != static_cast<ssize_t>(entries.size() * 8)) return {};  // [vsyscall]
  for (uint64_t addr = vma.range.start; addr < vma.range.end; addr += kPageSize) {
    const uint64_t entry = entries[(addr - vma.range.start) / kPageSize];
    const bool has = (entry & kPresent) != 0 && (entry & kGuard) == 0 &&
                     !(vma.kind == VmaKind::private_file && (entry & kFile) != 0);
    const auto held = shadow.find(addr);
    if (!has && held == shadow.end()) continue;  // both show the file's content, or zeros
    Page base{};
    if (file) {
      static_cast<void>(
          ::pread(file.get(), base.data(), kPageSize, static_cast<off_t>(addr - vma.range.start + vma.offset)));
    }
    Page real = base;
    if (has && ::pread(mem, real.data(), kPageSize, static_cast<off_t>(addr)) != static_cast<ssize_t>(kPageSize)) {
      return fmt::format("{:x} of {} cannot be read", addr, vma.name);
    }
    const Page& got = held == shadow.end() ? base : held->second;
    if (std::memcmp(got.data(), real.data(), kPageSize) != 0) {
      return fmt::format("{:x} of {:x}-{:x} {} differs: entry {:x}, {} in the shadow, real {:x} shadow {:x}", addr,
                         vma.range.start, vma.range.end, vma.name, entry, held == shadow.end() ? "absent" : "held",
                         *reinterpret_cast<const uint64_t*>(real.data()),
                         *reinterpret_cast<const uint64_t*>(got.data()));
    }
    if (!has && held != shadow.end() && vma.kind == VmaKind::private_anon) {
      return fmt::format("{:x} of {} is a hole, the shadow holds {}", addr, vma.name,
                         all_zero(held->second) ? "zeros" : "data");
    }
  }
  return {};
}

std::string compare_object(pid_t pid, const MemoryVma& vma, const std::map<uint64_t, Page>& shadow) {
  const Fd fd =
      open_checked(fmt::format("/proc/{}/map_files/{:x}-{:x}", pid, vma.range.start, vma.range.end), O_RDONLY);
  const off_t size = ::lseek(fd.get(), 0, SEEK_END);
  for (uint64_t at = 0; at < static_cast<uint64_t>(size); at += kPageSize) {
    Page real{};
    static_cast<void>(::pread(fd.get(), real.data(), kPageSize, static_cast<off_t>(at)));
    const auto held = shadow.find(at);
    if (real != (held == shadow.end() ? Page{} : held->second)) {
      return fmt::format("object {} differs at {:x}", vma.name, at);
    }
  }
  return {};
}

}  // namespace

std::string Move::difference() const {
  const pid_t pid = victim_.pid();
  const Fd pagemap = open_checked(fmt::format("/proc/{}/pagemap", pid), O_RDONLY);
  const Fd mem = open_checked(fmt::format("/proc/{}/mem", pid), O_RDONLY);
  static const std::map<uint64_t, Page> kNothing;
  const auto held = [&](PageSpace where) -> const std::map<uint64_t, Page>& {
    const auto found = shadow.pages.find(where);
    return found == shadow.pages.end() ? kNothing : found->second;
  };
  for (const MemoryVma& vma : victim_.vmas()) {
    if (vma.range.bytes() > (uint64_t{1} << 30)) continue;  // the shadow memory of a sanitizer
    std::string found;
    if (is_private(vma.kind)) found = compare_vma(pid, pagemap.get(), mem.get(), vma, held(space()));
    if (vma.kind == VmaKind::shmem) found = compare_object(pid, vma, held({PageSpace::Kind::shmem, vma.ino}));
    if (!found.empty()) return found;
  }
  return {};
}

}  // namespace crx::test
