// Reads pages of another process, or of a file.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <span>
#include <vector>

#include "common/base/fd.hpp"
#include "common/base/page.hpp"
#include "common/kernel/memory/pagemap.hpp"

namespace crx {

// A source of page contents: an address space, a shared memory object or a file.
class PageReader {
 public:
  virtual ~PageReader() = default;
  // Fills `out` with the contents of the ranges' pages, one after another; out.size() is their total size. Pages that
  // cannot be read are appended to `failed` (ascending) and their bytes in `out` are unspecified; they never cause an
  // exception.
  virtual void read(std::span<const PageRange> ranges, std::span<std::byte> out, std::vector<PageRange>& failed) = 0;
};

// Reads one address space. It uses process_vm_readv where possible, and /proc/PID/mem where the protection forbids that
// (PROT_NONE) and for pages that other processes share since a fork: process_vm_readv pins the pages it reads, and for
// that the kernel (5.19) gives the process a copy of its own, so that reading would take as much memory again. Reading
// leaves the sharing of pages as it was. Reading an absent page of anonymous memory makes the kernel map its zero page
// there, which counts as absent. The process may run (a page may then be torn) or be stopped. Needs ptrace access.
// Single-threaded.
class MemoryReader final : public PageReader {
 public:
  // Throws Error; victim_gone when there is no such process. After an execve, reads return the new program's memory or
  // fail; only a scan (ScanStatus::gone) detects that.
  explicit MemoryReader(pid_t pid);
  void read(std::span<const PageRange> ranges, std::span<std::byte> out, std::vector<PageRange>& failed) override;
  // Reads bytes at any address. False unless all could be read.
  bool read_bytes(uint64_t addr, std::span<std::byte> out);
  // True when the address space has ended, with its process or by an execve; nothing can be read any more.
  bool ended() const { return pagemap_.ended(); }
  pid_t pid() const noexcept { return pid_; }

 private:
  void read_own(std::span<const PageRange> ranges, std::span<std::byte> out, std::vector<PageRange>& failed);
  void read_through_mem(PageRange range, std::span<std::byte> out, std::vector<PageRange>& failed);
  pid_t pid_;
  Fd mem_;
  Pagemap pagemap_;
};

// Reads an open file or shared memory object; ranges are offsets. Bytes beyond the end read as zeros.
class FileReader final : public PageReader {
 public:
  explicit FileReader(int fd) : fd_(fd) {}  // borrows fd, which must stay open
  void read(std::span<const PageRange> ranges, std::span<std::byte> out, std::vector<PageRange>& failed) override;

 private:
  int fd_;
};

}  // namespace crx
