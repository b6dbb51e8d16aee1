// A table of system calls that a stopped thread will make for us.
#pragma once

#include <cstdint>
#include <string>
#include <type_traits>
#include <vector>

#include "common/remote/arena.hpp"
#include "common/remote/stub_layout.hpp"

namespace crx {

// Filled here, executed by RemoteThread::run, then asked for results. Its table lies in the arena: the batch is
// invalid after RemoteArena::reset(). Results are raw kernel results: -errno on failure.
class RemoteBatch {
 public:
  // capacity: most calls it will hold.
  RemoteBatch(RemoteArena& arena, std::size_t capacity);

  // Adds a call; `what` names it in errors ("setting the itimer"). Returns its index.
  // Arguments: integers, or addresses in the task as uint64_t. Throws Error(bug) past the capacity.
  template <typename... Args>
  std::size_t add(const char* what, long nr, Args... args) {
    static_assert(sizeof...(args) <= 6);
    return add_words(what, nr, {word(args)...});
  }
  // The same for a call whose failure is an expected outcome: check_all() passes over it.
  template <typename... Args>
  std::size_t add_optional(const char* what, long nr, Args... args) {
    const std::size_t index = add(what, nr, args...);
    optional_.push_back(index);
    return index;
  }
  // The result of call `index` is also stored at a remote address (another entry's argument, say).
  void store_result(std::size_t index, uint64_t remote_addr);
  // The remote address of argument `arg` of call `index`, for store_result of an earlier call.
  uint64_t argument_addr(std::size_t index, std::size_t arg) const;

  std::size_t size() const noexcept { return names_.size(); }
  std::size_t capacity() const noexcept { return capacity_; }
  bool full() const noexcept { return size() == capacity_; }
  int64_t result(std::size_t index) const { return table_.local[index].ret; }
  // The result, or throws Error(kernel) naming the call.
  int64_t checked(std::size_t index) const;
  // checked() on every call that is not optional.
  void check_all() const;
  uint64_t table_addr() const noexcept { return table_.remote; }

 private:
  template <typename T>
  static uint64_t word(T value) {
    if constexpr (std::is_enum_v<T>) {
      return static_cast<uint64_t>(static_cast<std::underlying_type_t<T>>(value));
    } else {
      static_assert(std::is_integral_v<T>);
      return static_cast<uint64_t>(value);
    }
  }
  std::size_t add_words(const char* what, long nr, std::initializer_list<uint64_t> args);

  ArenaPiece<stub::Entry> table_;
  std::size_t capacity_;
  std::vector<const char*> names_;
  std::vector<std::size_t> optional_;  // ascending
};

}  // namespace crx
