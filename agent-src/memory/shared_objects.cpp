#include "agent-src/memory/shared_objects.hpp"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "agent-src/memory/content_scan.hpp"
#include "common/base/clock.hpp"
#include "common/base/error.hpp"
#include "common/base/fd.hpp"
#include "common/kernel/ipc/sysv_ipc.hpp"

namespace crx {
namespace {

ObjectId id_of(int fd, uint64_t* size = nullptr) {
  struct stat st {};
  if (::fstat(fd, &st) != 0) throw_errno("reading shared memory", "fstat");
  if (size != nullptr) *size = static_cast<uint64_t>(st.st_size);
  // memfds, objects in huge pages, and System V segments each have a number space of their own.
  const bool is_sysv = read_link(fmt::format("/proc/self/fd/{}", fd)).starts_with("/SYSV");
  return {st.st_dev, is_sysv ? st.st_ino | kSysvObjectBit : object_number(st.st_dev, st.st_ino)};
}

// Returns the offsets that hold pages, swapped-out ones included.
std::vector<PageRange> extents_of(int fd) {
  std::vector<PageRange> found;
  for (off_t at = 0;;) {
    const off_t data = ::lseek(fd, at, SEEK_DATA);
    if (data < 0) {
      if (errno == ENXIO) return found;
      throw_errno("reading shared memory", "SEEK_DATA");
    }
    const off_t hole = ::lseek(fd, data, SEEK_HOLE);
    if (hole < 0) return found;  // truncated in between
    append_range(found, {page_down(static_cast<uint64_t>(data)), page_up(static_cast<uint64_t>(hole))});
    at = hole;
  }
}

// Returns the offsets of the object's pages that a mapping has in its page table.
std::vector<PageRange> shown_pages(const Tracker& tracker, const MemoryVma& vma) {
  Pagemap::Query absent;
  absent.inverted = page_is::kPresent;
  absent.required = page_is::kPresent;
  std::vector<PageRegion> regions;
  require_alive(tracker.pagemap().scan(vma.range, absent, regions), tracker.pagemap().pid());
  std::vector<PageRange> ranges;
  append_ranges(regions, ranges);
  ranges = subtract({vma.range}, ranges);
  const uint64_t shift = vma.offset - vma.range.start;  // modulo 2^64
  for (PageRange& range : ranges) range = {range.start + shift, range.end + shift};
  return ranges;
}

// Joins ranges with small gaps into fewer, larger ones to ask about: pages in a gap are absent and cost little.
std::vector<PageRange> without_small_gaps(const std::vector<PageRange>& ranges) {
  constexpr uint64_t kGap = uint64_t{2} << 20;
  std::vector<PageRange> out;
  for (const PageRange& range : ranges) {
    if (!out.empty() && range.start - out.back().end < kGap) {
      out.back().end = range.end;
    } else {
      out.push_back(range);
    }
  }
  return out;
}

// Opens the mapped object. Empty if the mapping has gone away since maps was read.
Fd open_mapped(pid_t pid, const MemoryVma& vma) {
  Fd fd = try_open(fmt::format("/proc/{}/map_files/{:x}-{:x}", pid, vma.range.start, vma.range.end), O_RDONLY);
  if (!fd) {
    if (errno == ENOENT || errno == ESRCH) return {};
    throw_errno("opening shared memory", fmt::format("process {} at {:x}", pid, vma.range.start));
  }
  const ObjectId id = id_of(fd.get());
  return id == ObjectId{vma.dev, vma.ino} ? std::move(fd) : Fd{};
}

bool is_object(const MemoryVma& vma) {
  return vma.kind == VmaKind::shmem || (vma.kind == VmaKind::private_file && (vma.huge || vma.dev == shmem_device()));
}

}  // namespace

void SharedObjects::set_untracked_writers(ObjectId id, bool untracked_writers) {
  untracked_writers_[id] = untracked_writers;
  const auto found = objects_.find(id);
  if (found != objects_.end()) found->second.untracked_writers = untracked_writers;
}

void SharedObjects::ignore_marks() {
  for (auto& [id, object] : objects_) object.marks_invalid = object.marks_invalid || !object.sent.empty();
}

bool SharedObjects::trusts_marks() const {
  return std::any_of(objects_.begin(), objects_.end(), [](const auto& entry) {
    const Object& object = entry.second;
    return object.fd && !object.untracked_writers && !object.marks_invalid && !object.sent.empty();
  });
}

void SharedObjects::offer(Fd fd) {
  Object& object = objects_[id_of(fd.get())];
  object.offered = true;
  object.untracked_writers = true;
  object.fd = std::move(fd);
}

int SharedObjects::descriptor(ObjectId id) const {
  const auto found = objects_.find(id);
  return found == objects_.end() ? -1 : found->second.fd.get();
}

void SharedObjects::find(std::span<const MappedSpace> spaces) {
  std::map<ObjectId, std::vector<Mapper>> mapped;
  for (const MappedSpace& space : spaces) {
    for (const MemoryVma& vma : *space.vmas) {
      if (!is_object(vma)) continue;
      const ObjectId id{vma.dev, vma.ino};
      std::vector<Mapper>& mappers = mapped[id];
      if (vma.kind == VmaKind::shmem) mappers.push_back({space.pid, space.tracker, &vma});
      Object& object = objects_[id];
      if (object.fd) continue;
      object.fd = open_mapped(space.pid, vma);
      const auto said = untracked_writers_.find(id);
      object.untracked_writers = said != untracked_writers_.end() ? said->second : !vma.anonymous_shared;
    }
  }
  for (auto& [id, object] : objects_) {
    const auto found = mapped.find(id);
    object.mappers = found == mapped.end() ? std::vector<Mapper>{} : std::move(found->second);
    if (found != mapped.end() || object.offered) continue;
    // No process maps it now. Close our descriptor, which would otherwise keep its memory alive. If it is mapped again
    // it is sent whole; `sent` stays, since the destination still holds these pages and must punch them as holes.
    object.fd.reset();
    object.places.clear();
    object.hashes = {};
  }
}

std::vector<PageRange> SharedObjects::extents(const Object& object) {
  // Walking the object costs 10 to 25 ms per GiB, its mappings' page tables 0.6 ms. Each page in a page table is one of
  // the object's; if they are as many as the object has allocated, they are all of them.
  std::vector<PageRange> shown;
  for (const Mapper& mapper : object.mappers) shown = unite(shown, shown_pages(*mapper.tracker, *mapper.vma));
  struct stat st {};
  if (::fstat(object.fd.get(), &st) != 0) throw_errno("reading shared memory", "fstat");
  if (static_cast<uint64_t>(st.st_blocks) * 512 == total_pages(shown) * kPageSize) return shown;
  return extents_of(object.fd.get());
}

bool SharedObjects::scan(const Object& object, const std::vector<PageRange>& present, bool frozen,
                         std::vector<PageRange>& dirty) {
  for (const Mapper& mapper : object.mappers) {
    const MemoryVma& vma = *mapper.vma;
    const uint64_t shift = vma.range.start - vma.offset;  // modulo 2^64
    const PageRange window{vma.offset, vma.offset + vma.range.bytes()};
    std::vector<PageRange> written;
    for (const PageRange& part : intersect(present, {window})) {
      const PageRange addrs{part.start + shift, part.end + shift};
      const bool known = frozen ? mapper.tracker->frozen_shared(vma, addrs, written)
                                : mapper.tracker->scan_shared(vma, addrs, written);
      if (!known) return false;
    }
    for (PageRange& range : written) range = {range.start - shift, range.end - shift};
    dirty = unite(dirty, written);
  }
  return !object.mappers.empty();
}

std::vector<PageRange> SharedObjects::plan(Object& object, const std::vector<PageRange>& present, bool frozen) {
  std::vector<PageRange> written;
  // Where the marks do not decide, pages are not write-protected either: the victim need not pay for marks that are not
  // read.
  const bool tracked =
      !object.untracked_writers && !object.marks_invalid && scan(object, without_small_gaps(present), frozen, written);
  object.comparing = !tracked;
  std::vector<Place> places;
  for (const Mapper& mapper : object.mappers) {
    places.push_back({mapper.pid, mapper.vma->range, mapper.vma->offset});
  }
  const bool moved = places != object.places;
  object.places = std::move(places);
  if (!tracked || moved) return present;
  return intersect(present, unite(unite(written, object.owed), subtract(present, object.sent)));
}

SendOutcome SharedObjects::send(ObjectId id, Object& object, const std::vector<PageRange>& ranges, PageSink& sink) {
  object.sent = unite(object.sent, ranges);
  if (!object.comparing && !object.hashes.empty()) {
    // their digests would be those of overwritten content
    for (const PageRange& range : ranges) object.hashes.forget(range);
  }
  FileReader reader(object.fd.get());
  return send_pages({PageSpace::Kind::shmem, id.ino}, ranges, reader, sink,
                    object.comparing ? &object.hashes : nullptr);
}

void SharedObjects::begin_round(std::span<const MappedSpace> spaces, MemoryStatistics& statistics) {
  const int64_t start_us = monotonic_us();
  find(spaces);
  for (auto& [id, object] : objects_) {
    if (!object.fd) continue;
    // List the pages before the scan: a page that appears later is not in `sent`, and the next round finds it.
    const std::vector<PageRange> present = extents(object);
    object.pending = plan(object, present, false);
    object.owed = unite(object.owed, object.pending);
    object.mappers.clear();
    statistics.scanned_bytes += total_pages(present) * kPageSize;
    statistics.dirty_pages += total_pages(object.pending);
  }
  statistics.scan_us += monotonic_us() - start_us;
}

void SharedObjects::send_round(PageSink& sink, MemoryStatistics& statistics) {
  const int64_t start_us = monotonic_us();
  for (auto& [id, object] : objects_) {
    if (!object.fd) continue;
    const SendOutcome outcome = send(id, object, object.pending, sink);
    object.owed = outcome.failed;
    object.pending.clear();
    statistics.sent_pages += outcome.put_pages;
    statistics.unchanged_pages += outcome.unchanged_pages;
    statistics.owed_pages += total_pages(outcome.failed);
  }
  statistics.send_us += monotonic_us() - start_us;
}

std::vector<FinalObject> SharedObjects::final_scan(std::span<const MappedSpace> spaces, MemoryStatistics& statistics) {
  const int64_t start_us = monotonic_us();
  find(spaces);
  std::vector<FinalObject> finals;
  for (auto& [id, object] : objects_) {
    if (!object.fd) continue;
    FinalObject found;
    found.id = id;
    id_of(object.fd.get(), &found.size);
    found.present = extents(object);
    found.dirty = plan(object, found.present, true);
    found.holes = subtract(object.sent, found.present);
    object.mappers.clear();
    statistics.scanned_bytes += total_pages(found.present) * kPageSize;
    statistics.dirty_pages += total_pages(found.dirty);
    statistics.hole_pages += total_pages(found.holes);
    finals.push_back(std::move(found));
  }
  statistics.scan_us += monotonic_us() - start_us;
  return finals;
}

void SharedObjects::send_final(const std::vector<FinalObject>& objects, PageSink& sink, MemoryStatistics& statistics) {
  const int64_t start_us = monotonic_us();
  for (const FinalObject& found : objects) {
    Object& object = objects_.at(found.id);
    object.owed = unite(object.owed, found.dirty);
    const SendOutcome outcome = send(found.id, object, found.dirty, sink);
    if (!outcome.failed.empty()) {
      throw Error(
          ErrorCode::refused, "reading shared memory",
          fmt::format("the page at {:x} of object {} cannot be read", outcome.failed.front().start, found.id.ino));
    }
    object.owed = subtract(object.owed, found.dirty);
    object.sent = subtract(object.sent, found.holes);
    for (const PageRange& range : found.holes) object.hashes.forget(range);
    statistics.sent_pages += outcome.put_pages;
    statistics.unchanged_pages += outcome.unchanged_pages;
  }
  statistics.send_us += monotonic_us() - start_us;
}

}  // namespace crx
