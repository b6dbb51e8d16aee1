// A second way to write a file on tmpfs, for a thread that finds the file's write lock taken.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>

#include "common/base/fd.hpp"

namespace crx {

// write(2) on tmpfs admits one thread per file, and spends most of its time allocating pages. A userfaultfd on a shared
// mapping of the file allocates pages without that lock (userfaultfd(2), UFFDIO_COPY; mm/shmem.c), at nearly the same
// cost.
class TmpfsPages {
 public:
  // file: borrowed, open for reading and writing. nullopt on other filesystems, on a tmpfs with huge pages (write(2)
  // allocates those), and when userfaultfd is not available.
  static std::optional<TmpfsPages> of(int file);

  // Writes whole pages at the offset (a multiple of the page size), below the end of the file and where it has no pages
  // yet. Any thread. False: not all of them have been written; write(2) can still write them all, or reports the
  // reason. Throws Error(kernel) when the file cannot be mapped.
  bool fill(uint64_t offset, std::span<const std::byte> bytes) const;

 private:
  TmpfsPages(int file, Fd userfaultfd) : file_(file), userfaultfd_(std::move(userfaultfd)) {}
  int file_;
  Fd userfaultfd_;
};

}  // namespace crx
