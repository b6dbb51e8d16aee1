// An owned mapping in our own address space.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <span>
#include <utility>

namespace crx {

// Unmaps what it holds; move-only.
class Mapping {
 public:
  Mapping() noexcept = default;
  Mapping(Mapping&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  Mapping& operator=(Mapping&& other) noexcept;
  ~Mapping();

  // mmap(2) anywhere; throws Error. fd -1 maps anonymous memory.
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
