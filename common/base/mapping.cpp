#include "common/base/mapping.hpp"

#include <sys/mman.h>

#include <string>

#include "common/base/error.hpp"

namespace crx {

Mapping Mapping::map(std::size_t bytes, int prot, int flags, int fd, off_t offset) {
  if (fd < 0) flags |= MAP_ANONYMOUS;
  void* data = ::mmap(nullptr, bytes, prot, flags, fd, offset);
  if (data == MAP_FAILED) throw_errno("mapping memory", std::to_string(bytes) + " bytes");
  Mapping mapping;
  mapping.data_ = data;
  mapping.bytes_ = bytes;
  return mapping;
}

Mapping& Mapping::operator=(Mapping&& other) noexcept {
  if (this != &other) {
    if (data_ != nullptr) ::munmap(data_, bytes_);
    data_ = std::exchange(other.data_, nullptr);
    bytes_ = std::exchange(other.bytes_, 0);
  }
  return *this;
}

Mapping::~Mapping() {
  if (data_ != nullptr) ::munmap(data_, bytes_);
}

}  // namespace crx
