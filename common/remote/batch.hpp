// A table of system calls that a stopped thread makes for the agent.
#pragma once

#include <cstdint>
#include <string>
#include <type_traits>
#include <vector>

#include "common/remote/arena.hpp"
#include "common/remote/stub_layout.hpp"

namespace crx {

// The caller fills the batch, RemoteThread::run executes it, and the caller reads the results. Its table lies in the
// arena, so the batch is valid until the end of the ArenaScope in which it was made. Results are raw kernel results:
// -errno on failure.
class RemoteBatch {
 public:
  // capacity: the maximum number of calls.
  RemoteBatch(RemoteArena& arena, std::size_t capacity);

  // Adds a call and returns its index. `what` names the call in errors ("setting the itimer"). Arguments are integers,
  // enumerations, or addresses in the task (RemotePtr; integers where they come from an image). Throws Error(bug)
  // beyond the capacity.
  template <typename... Args>
  std::size_t add(const char* what, long nr, Args... args) {
    static_assert(sizeof...(args) <= 6);
    return add_words(what, nr, {word(args)...});
  }
  // The same for a call whose failure is an expected outcome: check_all() ignores it.
  template <typename... Args>
  std::size_t add_optional(const char* what, long nr, Args... args) {
    const std::size_t index = add(what, nr, args...);
    optional_.push_back(index);
    return index;
  }
  // Also stores the result of call `index` at an address in the task (for example in the argument of a later call).
  // Stores 64 bits.
  void store_result(std::size_t index, RemotePtr<> where);
  // The address in the task of argument `arg` of call `index`, as a target for store_result() of an earlier call.
  RemotePtr<uint64_t> argument_addr(std::size_t index, std::size_t arg) const;

  std::size_t size() const noexcept { return names_.size(); }
  std::size_t capacity() const noexcept { return capacity_; }
  bool full() const noexcept { return size() == capacity_; }
  int64_t result(std::size_t index) const { return table_.local[index].ret; }
  // Returns the result; throws Error(kernel) naming the call if it failed.
  int64_t checked(std::size_t index) const;
  // Calls checked() for every call that is not optional.
  void check_all() const;
  RemotePtr<stub::Entry> table_addr() const noexcept { return table_.remote; }

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
  template <typename T>
  static uint64_t word(RemotePtr<T> address) {
    return address.addr();
  }
  std::size_t add_words(const char* what, long nr, std::initializer_list<uint64_t> args);

  ArenaPiece<stub::Entry> table_;
  std::size_t capacity_;
  std::vector<const char*> names_;
  std::vector<std::size_t> optional_;  // ascending
};

}  // namespace crx
