// The pages of a vessel.
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "agent-dst/vessel/vessel.hpp"
#include "agent-dst/vessel/vessel_state.hpp"
#include "common/base/error.hpp"
#include "common/image/magic.hpp"

namespace crx {
namespace {

const Vma& vma_at(const VesselState& state, uint64_t addr) {
  const auto after = std::upper_bound(state.vmas.begin(), state.vmas.end(), addr,
                                      [](uint64_t a, const Vma& v) { return a < v.start; });
  if (after == state.vmas.begin() || std::prev(after)->end <= addr) {
    throw Error(ErrorCode::peer, "writing pages", fmt::format("{:#x} is in no mapping of the vessel", addr));
  }
  return *std::prev(after);
}

// Fills absent pages; how many bytes from the start are done. All mappings are registered at once, so that neighbours
// stay alike and the kernel keeps them merged.
std::size_t place_pages(VesselState& state, uint64_t addr, std::span<const std::byte> bytes) {
  if (!state.placer) return 0;
  if (!std::exchange(state.placer_registered, true)) {
    for (const Vma& vma : state.vmas) {
      if ((vma.status & vma_status::kAnonPrivate) != 0 && !vma.is_huge())
        state.placer->register_range({vma.start, vma.end});
    }
  }
  const std::size_t done = state.placer->place(addr, bytes);
  // Something is there already: the first round is over, and the rest of the pages is better written.
  if (done < bytes.size()) state.placer.reset();
  return done;
}

}  // namespace

void Vessel::protect(const Vma& vma, uint32_t prot) {
  VesselState& s = *state_;
  s.arena.reset();
  RemoteBatch batch(s.arena, 1);
  batch.add("protecting memory", SYS_mprotect, vma.start, vma.end - vma.start, prot);
  s.run_checked(batch);
  s.arena.reset();
}

void Vessel::write_pages(const std::vector<PageRange>& ranges, std::span<const std::byte> bytes) {
  VesselState& s = *state_;
  std::vector<iovec> local, remote;
  std::size_t used = 0, planned = 0;
  bool some_huge = false;
  const auto flush = [&] {
    if (local.empty()) return;
    const ssize_t n = ::process_vm_writev(pid_, local.data(), local.size(), remote.data(), remote.size(), 0);
    if (n != static_cast<ssize_t>(planned)) {
      const std::size_t done = n < 0 ? 0 : static_cast<std::size_t>(n);
      Error error(ErrorCode::kernel, "writing pages",
                  fmt::format("{} of {} bytes at {:#x} were written", done, planned,
                              reinterpret_cast<uint64_t>(remote[0].iov_base)),
                  n < 0 ? errno : 0);
      if (some_huge) throw std::move(error).with_pid(pid_).with_hint(kHugePagesHint);
      throw std::move(error).with_pid(pid_);
    }
    local.clear();
    remote.clear();
    planned = 0;
  };
  for (const PageRange& range : ranges) {
    for (uint64_t at = range.start; at < range.end;) {
      const Vma& vma = vma_at(s, at);
      const uint64_t end = std::min(range.end, vma.end);
      if (bytes.size() - used < end - at) throw Error(ErrorCode::peer, "writing pages", "the page data are too short");
      some_huge |= vma.is_huge();
      if ((vma.status & vma_status::kAnonPrivate) != 0 && !vma.is_huge()) {
        const std::size_t placed = place_pages(s, at, bytes.subspan(used, end - at));
        at += placed;
        used += placed;
        if (at == end) continue;
      }
      const std::size_t size = end - at;
      auto* source = const_cast<std::byte*>(bytes.data() + used);
      if (vma.is_huge() && (vma.prot & PROT_WRITE) == 0) {
        // Not even /proc/PID/mem writes there.
        protect(vma, vma.prot | PROT_READ | PROT_WRITE);
        local.push_back({source, size});
        remote.push_back({reinterpret_cast<void*>(at), size});
        planned += size;
        flush();
        protect(vma, vma.prot);
      } else if ((vma.prot & PROT_WRITE) != 0) {
        local.push_back({source, size});
        remote.push_back({reinterpret_cast<void*>(at), size});
        planned += size;
        if (local.size() == 512) flush();
      } else if (::pwrite(s.mem.get(), source, size, static_cast<off_t>(at)) != static_cast<ssize_t>(size)) {
        throw_errno("writing pages", fmt::format("read-only memory at {:#x}", at));
      }
      used += size;
      at = end;
    }
  }
  flush();
}

void Vessel::advise_pages(const char* what, const std::vector<PageRange>& ranges, int advice) {
  VesselState& s = *state_;
  for (std::size_t done = 0; done < ranges.size();) {
    s.arena.reset();
    RemoteBatch batch(s.arena, 1024);
    for (; done < ranges.size() && !batch.full(); ++done) {
      batch.add(what, SYS_madvise, ranges[done].start, ranges[done].bytes(), advice);
    }
    s.run_checked(batch);
  }
  s.arena.reset();
}

void Vessel::drop_pages(const std::vector<PageRange>& ranges) {
  advise_pages("dropping pages", ranges, MADV_DONTNEED);
}

void Vessel::guard_pages(const std::vector<PageRange>& ranges) {
  state_->guards = ranges;
  advise_pages("guarding pages", ranges, 102 /* MADV_GUARD_INSTALL, Linux 6.13 */);
}

void Vessel::clear_pages(const std::vector<PageRange>& ranges) {
  const VesselState& s = *state_;
  std::vector<PageRange> anonymous, others;  // a part of a huge page cannot be dropped, nor a change of a file's page
  for (const PageRange& range : ranges) {
    for (uint64_t at = range.start; at < range.end;) {
      const Vma& vma = vma_at(s, at);
      const uint64_t end = std::min(range.end, vma.end);
      append_range((vma.status & vma_status::kAnonPrivate) != 0 && !vma.is_huge() ? anonymous : others, {at, end});
      at = end;
    }
  }
  drop_pages(anonymous);
  if (others.empty()) return;
  const std::vector<std::byte> zeros(uint64_t{1} << 20);
  for (const PageRange& range : others) {
    for (uint64_t at = range.start; at < range.end; at += zeros.size()) {
      const PageRange part{at, std::min(range.end, at + zeros.size())};
      write_pages({part}, std::span(zeros).first(part.bytes()));
    }
  }
}

}  // namespace crx
