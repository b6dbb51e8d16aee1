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

// Objects live in our own process until the table dies; vessels map duplicates of their descriptors.
class ShmemTable {
 public:
  // The object behind an anonymous shared mapping ("/dev/zero (deleted)" in maps), made on first use, grown to
  // `bytes` where smaller. huge: the flags of mmap(2) for huge pages, or 0. The descriptor stays the table's.
  int anonymous(uint64_t shmid, uint64_t bytes, uint32_t huge = 0);
  // A memfd, made on first use with the entry's name, size, owner and mode; seals are put on by seal_all() only. By the
  // name kAnonymousObjectName the object of an anonymous shared mapping.
  int memfd(const img::memfd_inode_entry& inode);
  // A System V segment, made on first use with the entry's number, key, owner and size; its number here has
  // kSysvObjectBit.
  void segment(const img::ipc_shm_entry& entry);
  // The segments of an image set, before its layouts are applied.
  void segments(const ImageSource& images);
  SysvObjects& sysv() noexcept { return sysv_; }
  PtyTable& ptys() noexcept { return ptys_; }
  // The descriptor of an object that exists; Error(peer) otherwise.
  int descriptor(uint64_t shmid) const;
  bool contains(uint64_t shmid) const { return objects_.contains(shmid); }

  void write_pages(uint64_t shmid, const std::vector<PageRange>& ranges, std::span<const std::byte> bytes);
  // Punches holes.
  void drop_pages(uint64_t shmid, const std::vector<PageRange>& ranges);
  // The exact size, then F_ADD_SEALS on every memfd: at cutover, when content is complete.
  void seal_all();

 private:
  struct Object {
    Fd fd;
    uint32_t seals = 0;
    uint64_t size = 0;  // of a memfd, as told last
    bool is_memfd = false;
    bool is_segment = false;
    bool is_huge = false;
    Mapping view = {};  // of one in huge pages: files of those cannot be written otherwise
  };
  static void write_huge(Object& object, PageRange range, std::span<const std::byte> bytes);

  SysvObjects sysv_;
  PtyTable ptys_;
  std::map<uint64_t, Object> objects_;
};

}  // namespace crx
