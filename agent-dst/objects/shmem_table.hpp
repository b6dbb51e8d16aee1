// Shared-memory objects of a tree at the destination: anonymous shared mappings and memfds, by shmid.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "agent-dst/objects/pty_table.hpp"
#include "agent-dst/objects/sysv_objects.hpp"
#include "common/base/fd.hpp"
#include "common/base/mapping.hpp"
#include "common/base/page.hpp"
#include "common/image/image_io.hpp"
#include "common/image/schema/regular.pb.h"

namespace crx {

// The hint of errors that huge pages cause.
inline constexpr char kHugePagesHint[] = "there are too few free huge pages here: raise vm.nr_hugepages";

// Owns the objects' descriptors; vessels map duplicates of them. Functions that name an object that was never described
// throw Error(peer), failing system calls Error(kernel).
class ShmemTable {
 public:
  // The object behind an anonymous shared mapping ("/dev/zero (deleted)" in maps), created on first use and
  // grown to `bytes` where it is smaller. huge: the flags of mmap(2) for huge pages, or 0. The descriptor belongs to
  // the table.
  int anonymous(uint64_t shmid, uint64_t bytes, uint32_t huge = 0);
  // A memfd, created on first use with the entry's name, size, owner and mode; its seals are added by seal_all(). An
  // entry with the name kAnonymousObjectName is the object of an anonymous shared mapping. Returns the table's
  // descriptor.
  int memfd(const img::memfd_inode_entry& inode);
  // A System V segment, created on first use with the entry's number, key, owner and size; its number here has
  // kSysvObjectBit.
  void segment(const img::ipc_shm_entry& entry);
  // Creates the segments of an image set; to be called before its layouts are applied.
  void segments(const ImageSource& images);
  SysvObjects& sysv() noexcept { return sysv_; }
  PtyTable& ptys() noexcept { return ptys_; }
  // The descriptor of an object that exists; Error(peer) otherwise.
  int descriptor(uint64_t shmid) const;
  bool contains(uint64_t shmid) const { return objects_.contains(shmid); }

  // Writes pages at offsets of the object; `bytes` holds those of `ranges` one after another.
  void write_pages(uint64_t shmid, const std::vector<PageRange>& ranges, std::span<const std::byte> bytes);
  // Punches holes (fallocate(2)).
  void drop_pages(uint64_t shmid, const std::vector<PageRange>& ranges);
  // Gives every memfd its exact size and adds its seals (F_ADD_SEALS): at the cutover, when the content is complete.
  void seal_all();

 private:
  struct Object {
    Fd fd;
    uint32_t seals = 0;
    uint64_t size = 0;  // of a memfd, by its last entry
    bool is_memfd = false;
    bool is_segment = false;
    bool is_huge = false;
    Mapping view = {};  // of an object in huge pages, which cannot be written otherwise
  };
  static void write_huge(Object& object, PageRange range, std::span<const std::byte> bytes);

  SysvObjects sysv_;
  PtyTable ptys_;
  std::map<uint64_t, Object> objects_;
};

}  // namespace crx
