#include "agent-dst/objects/shmem_table.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/falloc.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>

#include "common/base/error.hpp"
#include "common/image/magic.hpp"

#ifndef F_ADD_SEALS
#define F_ADD_SEALS 1033
#endif

namespace crx {
namespace {

constexpr uint32_t kHugeSizeBits = 0x3fU << 26;  // the bits of MFD_HUGE_*, which hold the logarithm of the page size

void grow(int fd, uint64_t bytes) {
  struct stat st {};
  if (::fstat(fd, &st) < 0) throw_errno("looking at shared memory", std::to_string(fd));
  if (static_cast<uint64_t>(st.st_size) >= bytes) return;
  if (::ftruncate(fd, static_cast<off_t>(bytes)) < 0)
    throw_errno("growing shared memory", fmt::format("{} bytes", bytes));
}

}  // namespace

int ShmemTable::anonymous(uint64_t shmid, uint64_t bytes, uint32_t huge) {
  Object& object = objects_[shmid];
  if (!object.fd) {
    // Creates an anonymous shared mapping and opens its object through the engine's own map_files link. So the task's
    // maps show it as they did at the source.
    const Mapping mapping =
        Mapping::map(bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE | static_cast<int>(huge));
    const auto at = reinterpret_cast<uint64_t>(mapping.data());
    object.fd = open_checked(fmt::format("/proc/self/map_files/{:x}-{:x}", at, at + page_up(bytes)), O_RDWR);
    object.is_huge = huge != 0;
  }
  grow(object.fd.get(), bytes);
  return object.fd.get();
}

int ShmemTable::memfd(const img::memfd_inode_entry& inode) {
  if (inode.name() == image_file::kAnonymousObjectName)
    return anonymous(inode.shmid(), std::max<uint64_t>(inode.size(), 1));
  Object& object = objects_[inode.shmid()];
  if (!object.fd) {
    const uint32_t huge = inode.hugetlb_flag() == 0 ? 0 : (inode.hugetlb_flag() & kHugeSizeBits) | MFD_HUGETLB;
    const int fd = ::memfd_create(inode.name().c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING | huge);
    if (fd < 0) throw_errno("creating a memfd", inode.name());
    object.fd.reset(fd);
    object.is_huge = huge != 0;
    object.is_memfd = true;
    object.seals = inode.seals();
    if (inode.has_mode() && ::fchmod(fd, inode.mode() & 07777) < 0) throw_errno("setting a memfd's mode", inode.name());
    if (::fchown(fd, inode.uid(), inode.gid()) < 0) throw_errno("setting a memfd's owner", inode.name());
  }
  object.seals = inode.seals();
  object.size = inode.size();
  grow(object.fd.get(), inode.size());
  return object.fd.get();
}

void ShmemTable::segment(const img::ipc_shm_entry& entry) {
  const int id = perm_of(entry.desc()).id;
  Object& object = objects_[static_cast<uint64_t>(id) | kSysvObjectBit];
  if (object.fd) return;
  if (!sysv_.contains(SysvKind::segment, id)) sysv_.make_segment(entry);
  object.fd = open_segment(entry);
  object.is_huge = entry.hugetlb_flag() != 0;
  object.size = entry.size();
  object.is_segment = true;
}

void ShmemTable::segments(const ImageSource& images) {
  for (const std::string& name : images.names()) {
    if (!name.starts_with("ipcns-shm-")) continue;
    ImageReader image = images.reader(name);
    for (img::ipc_shm_entry entry; image.next(entry);) {
      if (entry.in_pagemaps()) {
        segment(entry);
      } else {
        image.raw_padded(entry.size(), 4);
      }
    }
  }
}

int ShmemTable::descriptor(uint64_t shmid) const {
  const auto found = objects_.find(shmid);
  if (found == objects_.end()) {
    throw Error(ErrorCode::peer, "looking for shared memory",
                fmt::format("object {} was never described (files.img, memfd.img)", shmid));
  }
  return found->second.fd.get();
}

void ShmemTable::write_pages(uint64_t shmid, const std::vector<PageRange>& ranges, std::span<const std::byte> bytes) {
  const int fd = descriptor(shmid);
  Object& object = objects_.at(shmid);
  std::size_t used = 0;
  for (const PageRange& range : ranges) {
    const std::size_t size = range.bytes();
    if (bytes.size() - used < size)
      throw Error(ErrorCode::peer, "writing shared memory", "the page data are too short");
    if (object.is_huge) {
      write_huge(object, range, bytes.subspan(used, size));
    } else if (::pwrite(fd, bytes.data() + used, size, static_cast<off_t>(range.start)) != static_cast<ssize_t>(size)) {
      throw_errno("writing shared memory", fmt::format("object {} at {:#x}", shmid, range.start));
    }
    used += size;
  }
}

// Copies through a system call instead of memcpy(): where no huge page is left, the call fails, while a store would
// kill the agent with SIGBUS.
void ShmemTable::write_huge(Object& object, PageRange range, std::span<const std::byte> bytes) {
  if (object.view.size() < range.end) {
    struct stat st {};
    if (::fstat(object.fd.get(), &st) != 0) throw_errno("looking at shared memory", std::to_string(object.fd.get()));
    if (static_cast<uint64_t>(st.st_size) < range.end) {
      throw Error(ErrorCode::peer, "writing shared memory",
                  fmt::format("{:#x} lies behind the end of the object", range.start));
    }
    object.view = Mapping::map(static_cast<std::size_t>(st.st_size), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE,
                               object.fd.get());
  }
  const iovec local{const_cast<std::byte*>(bytes.data()), bytes.size()};
  const iovec remote{object.view.data() + range.start, bytes.size()};
  if (::process_vm_writev(::getpid(), &local, 1, &remote, 1, 0) == static_cast<ssize_t>(bytes.size())) return;
  throw Error(ErrorCode::kernel, "writing shared memory",
              fmt::format("huge pages at {:#x} of an object cannot be allocated", range.start))
      .with_hint(kHugePagesHint);
}

void ShmemTable::drop_pages(uint64_t shmid, const std::vector<PageRange>& ranges) {
  const int fd = descriptor(shmid);
  for (const PageRange& range : ranges) {
    if (::fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(range.start),
                    static_cast<off_t>(range.bytes())) < 0) {
      throw_errno("dropping shared memory", fmt::format("object {} at {:#x}", shmid, range.start));
    }
  }
}

void ShmemTable::seal_all() {
  for (auto& [shmid, object] : objects_) {
    if (!object.is_memfd && (!object.is_segment || object.is_huge)) continue;
    // Pages are written whole, and an object never shrinks in the rounds.
    if (::ftruncate(object.fd.get(), static_cast<off_t>(object.size)) < 0) {
      throw_errno("setting a memfd's size", fmt::format("object {}, {} bytes", shmid, object.size));
    }
    if (object.seals != 0 && ::fcntl(object.fd.get(), F_ADD_SEALS, object.seals) < 0) {
      throw_errno("sealing a memfd", fmt::format("object {} with seals {:#x}", shmid, object.seals));
    }
  }
}

}  // namespace crx
