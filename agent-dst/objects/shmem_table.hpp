// Holds the shared-memory objects of a tree at the destination (anonymous shared mappings, memfds and System V
// segments) by shmid.
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

// The hint for errors that a lack of huge pages causes.
inline constexpr char kHugePagesHint[] = "there are too few free huge pages here: raise vm.nr_hugepages";

// Owns the objects' descriptors; vessels map duplicates of them. Functions throw Error(peer) for the shmid of an object
// that was never described, and Error(kernel) for system calls that fail. Single-threaded.
class ShmemTable {
 public:
  // Returns the descriptor of the object behind an anonymous shared mapping ("/dev/zero (deleted)" in maps), which the
  // table owns. The object is created on first use, and grown to `bytes` where it is smaller. huge: the flags of
  // mmap(2) for huge pages, or 0.
  int anonymous(uint64_t shmid, uint64_t bytes, uint32_t huge = 0);
  // Returns the descriptor of a memfd, which the table owns. The memfd is created on first use with the entry's name,
  // size, owner and mode; seal_all() adds its seals. An entry with the name kAnonymousObjectName describes the object
  // of an anonymous shared mapping.
  int memfd(const img::memfd_inode_entry& inode);
  // Creates a System V segment on first use, with the entry's number, key, owner and size. Its shmid in this table is
  // that number with kSysvObjectBit set.
  void segment(const img::ipc_shm_entry& entry);
  // Creates the segments of an image set. Must be called before the layouts of the set are applied.
  void segments(const ImageSource& images);
  SysvObjects& sysv() noexcept { return sysv_; }
  PtyTable& ptys() noexcept { return ptys_; }
  // Returns the descriptor of an object, which the table owns. Throws Error(peer) where the object does not exist.
  int descriptor(uint64_t shmid) const;
  bool contains(uint64_t shmid) const { return objects_.contains(shmid); }

  // Writes pages of the object. ranges: offsets into it. bytes: the content of `ranges`, one after another.
  void write_pages(uint64_t shmid, const std::vector<PageRange>& ranges, std::span<const std::byte> bytes);
  // Punches holes into the object at these offsets (fallocate(2)).
  void drop_pages(uint64_t shmid, const std::vector<PageRange>& ranges);
  // Gives every memfd its exact size and adds its seals (F_ADD_SEALS). To be called at the cutover, when the content is
  // complete.
  void seal_all();

 private:
  struct Object {
    Fd fd;
    uint32_t seals = 0;
    uint64_t size = 0;  // of a memfd, from its last entry
    bool is_memfd = false;
    bool is_segment = false;
    bool is_huge = false;
    Mapping view = {};  // maps an object in huge pages, which can only be written through a mapping
  };
  static void write_huge(Object& object, PageRange range, std::span<const std::byte> bytes);

  SysvObjects sysv_;
  PtyTable ptys_;
  std::map<uint64_t, Object> objects_;
};

}  // namespace crx
