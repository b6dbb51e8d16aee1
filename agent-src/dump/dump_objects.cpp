#include "agent-src/dump/dump_objects.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "agent-src/collect/memory/memfd.hpp"
#include "common/base/error.hpp"
#include "common/image/magic.hpp"
#include "common/kernel/memory/memory_reader.hpp"

namespace crx {
namespace {

bool contains(const std::vector<PageRange>& ranges, uint64_t at) {
  const auto found =
      std::partition_point(ranges.begin(), ranges.end(), [at](const PageRange& range) { return range.end <= at; });
  return found != ranges.end() && found->start <= at;
}

// The parts of one object that the parent set has.
struct Known {
  const std::vector<PageRange>* pages = nullptr;
  const PageDigests* digests = nullptr;

  bool is(uint64_t at, const Digest128& digest) const {
    if (pages == nullptr || digests == nullptr || !contains(*pages, at)) return false;
    const Digest128* before = digests->find(at);
    return before != nullptr && *before == digest;
  }
};

Known known_of(const ParentSet* parent, PageSpace space) {
  if (parent == nullptr) return {};
  const auto pages = parent->pages.find(space);
  const auto digests = parent->objects.find(space.id);
  if (pages == parent->pages.end() || digests == parent->objects.end()) return {};
  return {&pages->second, &digests->second};
}

}  // namespace

void DumpObjects::write(const std::vector<MappedSpace>& spaces, const std::vector<pid_t>& holders, bool running,
                        std::map<PageSpace, std::vector<PageRange>>& in_parent) {
  SharedObjects objects;
  for (const pid_t pid : holders) {
    try {
      for (OpenMemfd& memfd : open_memfds(pid)) objects.offer(std::move(memfd.fd));
    } catch (const Error& error) {
      if (!running || error.code() != ErrorCode::victim_gone) throw;
    }
  }
  MemoryStatistics statistics;
  for (const FinalObject& object : objects.final_scan(spaces, statistics)) {
    write_object(object, objects.descriptor(object.id), running, in_parent[{PageSpace::Kind::shmem, object.id.ino}]);
  }
}

void DumpObjects::write_object(const FinalObject& object, int fd, bool running, std::vector<PageRange>& in_parent) {
  const PageSpace space{PageSpace::Kind::shmem, object.id.ino};
  store_.begin(space, {});
  FileReader reader(fd);
  const Known known = known_of(parent_, space);
  const bool look = digests_ || known.digests != nullptr;
  PageDigests digests;
  for (const PageRange& range : object.present) {
    for (uint64_t at = range.start; at < range.end;) {
      const std::span<std::byte> buffer = store_.pages().acquire();
      const PageRange part{at, std::min(range.end, at + page_down(buffer.size()))};
      at = part.end;
      std::vector<PageRange> failed;
      reader.read(std::span(&part, 1), buffer.first(part.bytes()), failed);
      if (!failed.empty() && !running) {
        throw Error(ErrorCode::refused, "reading shared memory",
                    fmt::format("the page at {:x} of object {} cannot be read", failed.front().start, object.id.ino));
      }
      std::vector<PageRange> kept;
      std::size_t to = 0;
      for (uint64_t page = part.start; page < part.end; page += kPageSize) {
        if (!failed.empty() && contains(failed, page)) continue;
        std::byte* bytes = buffer.data() + (page - part.start);
        if (look) {
          const Digest128 digest = digest128({bytes, kPageSize});
          digests.add(page, digest);
          if (known.is(page, digest)) {
            append_range(in_parent, {page, page + kPageSize});
            continue;
          }
        }
        if (to != page - part.start) std::memmove(buffer.data() + to, bytes, kPageSize);
        to += kPageSize;
        append_range(kept, {page, page + kPageSize});
      }
      if (!kept.empty()) store_.pages().put(space, std::move(kept));
    }
  }
  if (digests_) digests.write(store_.images(), image_file::crx_shmem(space.id));
}

}  // namespace crx
