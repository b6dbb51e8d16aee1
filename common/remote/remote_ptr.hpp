// An address in another process, as a type that cannot be dereferenced in this one.
#pragma once

#include <cstdint>
#include <type_traits>

namespace crx {

template <typename T = void>
class RemotePtr {
 public:
  constexpr RemotePtr() noexcept = default;
  constexpr explicit RemotePtr(uint64_t addr) noexcept : addr_(addr) {}
  constexpr uint64_t addr() const noexcept { return addr_; }
  constexpr explicit operator bool() const noexcept { return addr_ != 0; }
  template <typename U>
  constexpr RemotePtr<U> cast() const noexcept {
    return RemotePtr<U>(addr_);
  }
  constexpr RemotePtr<T> advanced(uint64_t bytes) const noexcept { return RemotePtr<T>(addr_ + bytes); }
  constexpr bool operator==(const RemotePtr&) const = default;

 private:
  uint64_t addr_ = 0;
};

}  // namespace crx
