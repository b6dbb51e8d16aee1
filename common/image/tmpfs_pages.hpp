// A second way into a file on tmpfs, for a thread that finds the first one taken.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>

#include "common/base/fd.hpp"

namespace crx {

// write(2) on tmpfs lets one thread at a file, and most of what it does there is to make pages. A userfaultfd over a
// shared mapping of the file makes them without that lock (userfaultfd(2), UFFDIO_COPY; mm/shmem.c), at nearly the same
// price.
class TmpfsPages {
 public:
  // file: borrowed, read-write. Nothing on other filesystems, where tmpfs has huge pages (write(2) makes those), and
  // where there is no userfaultfd.
  static std::optional<TmpfsPages> of(int file);

  // Puts whole pages at the offset (a multiple of the page size), below the file's end and where it has no pages yet.
  // Any thread. False: not all of them are there; write(2) can still write them all, or says why not. Throws
  // Error(kernel) where nothing can be mapped.
  bool fill(uint64_t offset, std::span<const std::byte> bytes) const;

 private:
  TmpfsPages(int file, Fd userfaultfd) : file_(file), userfaultfd_(std::move(userfaultfd)) {}
  int file_;
  Fd userfaultfd_;
};

}  // namespace crx
