#include "common/kernel/memory/memory_reader.hpp"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "common/base/error.hpp"
#include "common/kernel/memory/uapi_memory.hpp"

namespace crx {
namespace {

constexpr std::size_t kMaxIovecs = 512;

// True for anonymous memory that other page tables may map, too.
bool may_be_shared(uint64_t entry) {
  if ((entry & uapi::kEntrySwapped) != 0) return true;
  return (entry & uapi::kEntryPresent) != 0 && (entry & (uapi::kEntryExclusive | uapi::kEntryFile)) == 0;
}

}  // namespace

MemoryReader::MemoryReader(pid_t pid) : pid_(pid), pagemap_(Pagemap::open(pid)) {
  const std::string path = fmt::format("/proc/{}/mem", pid);
  mem_ = try_open(path, O_RDONLY);
  if (!mem_) throw_errno("reading memory", path, errno == ENOENT ? ESRCH : errno);
}

void MemoryReader::read(std::span<const PageRange> ranges, std::span<std::byte> out, std::vector<PageRange>& failed) {
  std::vector<PageRange> own;  // ranges that are adjacent in `out` and have not been read yet
  std::size_t own_bytes = 0, out_at = 0;
  const auto read_so_far = [&] {
    read_own(own, out.subspan(out_at, own_bytes), failed);
    out_at += std::exchange(own_bytes, 0);
    own.clear();
  };
  for (const PageRange& range : ranges) {
    const std::vector<uint64_t> entries = pagemap_.entries(range);
    for (std::size_t at = 0; at < range.pages();) {
      const auto shared = [&](std::size_t i) { return i < entries.size() && may_be_shared(entries[i]); };
      const std::size_t first = at;
      const bool is_shared = shared(first);
      while (at < range.pages() && shared(at) == is_shared) ++at;
      const PageRange run{range.start + first * kPageSize, range.start + at * kPageSize};
      if (is_shared) {
        read_so_far();
        read_through_mem(run, out.subspan(out_at, run.bytes()), failed);
        out_at += run.bytes();
      } else {
        own.push_back(run);
        own_bytes += run.bytes();
      }
    }
  }
  read_so_far();
}

void MemoryReader::read_own(std::span<const PageRange> ranges, std::span<std::byte> out,
                            std::vector<PageRange>& failed) {
  std::array<iovec, kMaxIovecs> remote;
  std::size_t next = 0;  // the first range that is not finished
  uint64_t inside = 0;   // bytes of that range that have been read
  std::size_t out_at = 0;
  while (next < ranges.size()) {
    std::size_t count = 0;
    std::size_t wanted = 0;
    for (std::size_t i = next; i < ranges.size() && count < remote.size(); ++i, ++count) {
      const uint64_t start = ranges[i].start + (i == next ? inside : 0);
      remote[count] = {reinterpret_cast<void*>(start), ranges[i].end - start};
      wanted += remote[count].iov_len;
    }
    const iovec local{out.data() + out_at, wanted};
    const ssize_t got = ::process_vm_readv(pid_, &local, 1, remote.data(), count, 0);
    // A short count ends at a page that could not be read; the whole pages before it have been copied.
    uint64_t done = got > 0 ? page_down(static_cast<uint64_t>(got)) : 0;
    const bool complete = done == wanted;
    out_at += done;
    while (next < ranges.size() && done >= ranges[next].bytes() - inside) {
      done -= ranges[next].bytes() - inside;
      inside = 0;
      ++next;
      if (done == 0) break;
    }
    inside += done;
    if (complete || next >= ranges.size()) continue;
    const PageRange rest{ranges[next].start + inside, ranges[next].end};
    read_through_mem(rest, out.subspan(out_at, rest.bytes()), failed);
    out_at += rest.bytes();
    inside = 0;
    ++next;
  }
}

void MemoryReader::read_through_mem(PageRange range, std::span<std::byte> out, std::vector<PageRange>& failed) {
  uint64_t addr = range.start;
  while (addr < range.end) {
    const std::span<std::byte> rest = out.subspan(addr - range.start);
    const ssize_t got = ::pread(mem_.get(), rest.data(), rest.size(), static_cast<off_t>(addr));
    const uint64_t done = got > 0 ? page_down(static_cast<uint64_t>(got)) : 0;
    addr += done;
    if (done == 0) {
      append_range(failed, {addr, addr + kPageSize});
      addr += kPageSize;
    }
  }
}

bool MemoryReader::read_bytes(uint64_t addr, std::span<std::byte> out) {
  std::size_t done = 0;
  while (done < out.size()) {
    const ssize_t got = ::pread(mem_.get(), out.data() + done, out.size() - done, static_cast<off_t>(addr + done));
    if (got <= 0) return false;
    done += static_cast<std::size_t>(got);
  }
  return true;
}

void FileReader::read(std::span<const PageRange> ranges, std::span<std::byte> out, std::vector<PageRange>& failed) {
  std::size_t out_at = 0;
  for (const PageRange& range : ranges) {
    const std::span<std::byte> part = out.subspan(out_at, range.bytes());
    out_at += range.bytes();
    std::size_t done = 0;
    while (done < part.size()) {
      const ssize_t got = ::pread(fd_, part.data() + done, part.size() - done, static_cast<off_t>(range.start + done));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) {
        const uint64_t bad = range.start + page_down(done);
        append_range(failed, {bad, bad + kPageSize});
        done = page_down(done) + kPageSize;
        continue;
      }
      if (got == 0) {
        std::memset(part.data() + done, 0, part.size() - done);
        break;
      }
      done += static_cast<std::size_t>(got);
    }
  }
}

}  // namespace crx
