// An address in another process, as a type that cannot be dereferenced in this one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace crx {

// Points at a T (or an array of T) in a task's memory, most often in its arena; 0 is the null pointer. It is for what
// is passed to a system call of the task. Ranges of an address space, which are compared and computed with, are
// PageRange.
template <typename T = void>
class RemotePtr {
 public:
  constexpr RemotePtr() noexcept = default;
  constexpr explicit RemotePtr(uint64_t addr) noexcept : addr_(addr) {}
  // As T* converts to void*.
  template <typename U>
  requires(std::is_void_v<T> && !std::is_void_v<U>) constexpr RemotePtr(RemotePtr<U> other) noexcept
      : addr_(other.addr()) {}

  constexpr uint64_t addr() const noexcept { return addr_; }
  constexpr explicit operator bool() const noexcept { return addr_ != 0; }
  // The address of a member; offset: offsetof(T, member).
  constexpr RemotePtr<> member(std::size_t offset) const noexcept { return RemotePtr<>(addr_ + offset); }
  constexpr bool operator==(const RemotePtr&) const = default;

 private:
  uint64_t addr_ = 0;
};

}  // namespace crx
