// Reading pages of another process.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <span>
#include <vector>

#include "common/base/fd.hpp"
#include "common/base/page.hpp"
#include "common/kernel/memory/pagemap.hpp"

namespace crx {

// Whatever page bytes can be read from: an address space, a shared-memory object, a file.
class PageReader {
 public:
  virtual ~PageReader() = default;
  // Fills `out` with the bytes of the ranges' pages, one after another; out.size() is their total. Pages that could
  // not be read are appended to `failed` (ascending) and their bytes are unspecified. Never throws for those.
  virtual void read(std::span<const PageRange> ranges, std::span<std::byte> out, std::vector<PageRange>& failed) = 0;
};

// One address space. process_vm_readv where it may; /proc/PID/mem where protection forbids that (PROT_NONE), and for
// pages that other processes have since a fork: process_vm_readv pins what it reads, and the kernel (5.19) gives the
// process a copy of its own for that, so that reading would take as much memory again. Memory is what it was
// afterwards, shared or not. Reading an absent page of anonymous memory makes the kernel map its zero page there, which
// counts as absent. The process may run (then a page may be torn) or be stopped. Needs ptrace access. Single-threaded.
class MemoryReader final : public PageReader {
 public:
  // Throws Error, victim_gone when there is no such process. After an exec reads give the new program's memory or
  // fail: only a scan (ScanStatus::gone) tells.
  explicit MemoryReader(pid_t pid);
  void read(std::span<const PageRange> ranges, std::span<std::byte> out, std::vector<PageRange>& failed) override;
  // Plain bytes at any address. False unless all could be read.
  bool read_bytes(uint64_t addr, std::span<std::byte> out);
  // The address space has ended, with its process or by an exec: then nothing more can be read.
  bool ended() const { return pagemap_.ended(); }
  pid_t pid() const noexcept { return pid_; }

 private:
  void read_own(std::span<const PageRange> ranges, std::span<std::byte> out, std::vector<PageRange>& failed);
  void read_through_mem(PageRange range, std::span<std::byte> out, std::vector<PageRange>& failed);
  pid_t pid_;
  Fd mem_;
  Pagemap pagemap_;
};

// An open file or shared-memory object; ranges are offsets. Beyond the end reads as zeros.
class FileReader final : public PageReader {
 public:
  explicit FileReader(int fd) : fd_(fd) {}  // borrows
  void read(std::span<const PageRange> ranges, std::span<std::byte> out, std::vector<PageRange>& failed) override;

 private:
  int fd_;
};

}  // namespace crx
