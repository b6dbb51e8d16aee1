// An owned memory mapping in the address space of the crx process.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <span>
#include <utility>

namespace crx {

// Unmaps its range on destruction; move-only.
class Mapping {
 public:
  Mapping() noexcept = default;
  Mapping(Mapping&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  Mapping& operator=(Mapping&& other) noexcept;
  ~Mapping();

  // mmap(2) at an address that the kernel chooses; throws Error. fd -1 maps anonymous memory (MAP_ANONYMOUS is added to
  // `flags`).
  static Mapping map(std::size_t bytes, int prot, int flags, int fd = -1, off_t offset = 0);

  std::byte* data() const noexcept { return static_cast<std::byte*>(data_); }
  std::size_t size() const noexcept { return bytes_; }
  std::span<std::byte> span() const noexcept { return {data(), bytes_}; }
  explicit operator bool() const noexcept { return data_ != nullptr; }

 private:
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
};

}  // namespace crx
