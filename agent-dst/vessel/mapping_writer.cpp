#include "agent-dst/vessel/mapping_writer.hpp"

#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "agent-dst/objects/shmem_table.hpp"
#include "common/base/error.hpp"

namespace crx {
namespace {

constexpr char kMappingWriterStep[] = "writing pages";
constexpr std::size_t kRangesAtOnce = 512;  // ranges of one process_vm_writev(2); the kernel's limit UIO_MAXIOV is 1024

bool is_writable(const Vma& vma) {
  return (vma.prot & PROT_WRITE) != 0;
}

}  // namespace

void MappingWriter::write(const Vma& vma, uint64_t addr, std::span<const std::byte> bytes) {
  switch (vma.kind()) {
    case Vma::Kind::anonymous:
      return write_anonymous(vma, addr, bytes);
    case Vma::Kind::huge:
      return write_huge(vma, addr, bytes);
    case Vma::Kind::file:
    case Vma::Kind::shared:
    case Vma::Kind::special:
      return write_mapped(vma, addr, bytes);
  }
}

void MappingWriter::write_anonymous(const Vma& vma, uint64_t addr, std::span<const std::byte> bytes) {
  const std::size_t placed = first_.place(vmas_, addr, bytes);
  if (placed < bytes.size()) write_mapped(vma, addr + placed, bytes.subspan(placed));
}

void MappingWriter::write_mapped(const Vma& vma, uint64_t addr, std::span<const std::byte> bytes) {
  if (is_writable(vma)) return gather(addr, bytes);
  if (::pwrite(memory_, bytes.data(), bytes.size(), static_cast<off_t>(addr)) != static_cast<ssize_t>(bytes.size())) {
    throw_errno(kMappingWriterStep, fmt::format("read-only memory at {:#x}", addr));
  }
}

void MappingWriter::write_huge(const Vma& vma, uint64_t addr, std::span<const std::byte> bytes) {
  some_huge_ = true;
  if (is_writable(vma)) return gather(addr, bytes);
  protect(vma, vma.prot | PROT_READ | PROT_WRITE);
  gather(addr, bytes);
  flush();
  protect(vma, vma.prot);
}

void MappingWriter::gather(uint64_t addr, std::span<const std::byte> bytes) {
  local_.push_back({const_cast<std::byte*>(bytes.data()), bytes.size()});
  remote_.push_back({reinterpret_cast<void*>(addr), bytes.size()});
  gathered_ += bytes.size();
  if (local_.size() == kRangesAtOnce) flush();
}

void MappingWriter::flush() {
  if (local_.empty()) return;
  const ssize_t n = ::process_vm_writev(calls_.pid(), local_.data(), local_.size(), remote_.data(), remote_.size(), 0);
  if (n != static_cast<ssize_t>(gathered_)) {
    Error error(ErrorCode::kernel, kMappingWriterStep,
                fmt::format("{} of {} bytes at {:#x} were written", n < 0 ? 0 : n, gathered_,
                            reinterpret_cast<uint64_t>(remote_[0].iov_base)),
                n < 0 ? errno : 0);
    if (some_huge_) throw std::move(error).with_pid(calls_.pid()).with_hint(kHugePagesHint);
    throw std::move(error).with_pid(calls_.pid());
  }
  local_.clear();
  remote_.clear();
  gathered_ = 0;
}

void MappingWriter::protect(const Vma& vma, uint32_t prot) {
  calls_.call("protecting memory", SYS_mprotect, vma.start, vma.end - vma.start, prot);
}

}  // namespace crx
