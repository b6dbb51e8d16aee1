// The memory that a stopped task and we share while it makes system calls for us.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

#include "common/base/fd.hpp"
#include "common/base/mapping.hpp"

namespace crx {

// A piece of the arena: the same bytes seen from both sides.
template <typename T>
struct ArenaPiece {
  uint64_t remote = 0;
  T* local = nullptr;
};

// Two shared-memory objects: code (the stub and the landings; the task maps it R-X) and data (mailboxes, tables,
// arguments; RW). We see both through mappings of our own, so that filling and reading a batch costs no system
// call. Not thread-safe. The arena does not map anything in the task: ArenaInjection (source) and the vessel's
// birth (destination) do.
class RemoteArena {
 public:
  // code/data: descriptors of the objects (any shmem: a memfd or a map_files link), their sizes, and the addresses
  // at which the task has them. slots: how many threads will run batches.
  // populate: all pages now, for where time is dear; otherwise as they are used.
  RemoteArena(const Fd& code, const Fd& data, std::size_t data_bytes, uint64_t code_addr, uint64_t data_addr,
              std::size_t slots, bool populate = true);

  static std::size_t code_bytes(std::size_t slots);
  // Data bytes for `slots` threads with room for `scratch` bytes of tables and arguments.
  static std::size_t data_bytes(std::size_t slots, std::size_t scratch);

  uint64_t code_addr() const noexcept { return code_addr_; }
  uint64_t data_addr() const noexcept { return data_addr_; }
  std::size_t code_size() const noexcept { return code_.size(); }
  std::size_t data_size() const noexcept { return data_.size(); }
  std::size_t slots() const noexcept { return slots_; }
  std::byte* mailbox(std::size_t slot) const { return data_.data() + mailbox_offset(slot); }
  uint64_t mailbox_addr(std::size_t slot) const { return data_addr_ + mailbox_offset(slot); }
  // Where the code has a `syscall` instruction, for call_at() while the task has no vDSO.
  uint64_t syscall_addr() const;
  std::byte* landing(std::size_t slot) const;
  uint64_t landing_addr(std::size_t slot) const;

  // Bump allocation of scratch in the data object; throws Error(bug) when it is full. Zeroed.
  template <typename T>
  ArenaPiece<T> allocate(std::size_t count = 1) {
    const ArenaPiece<T> piece = take<T>(count);
    std::memset(static_cast<void*>(piece.local), 0, sizeof(T) * count);
    return piece;
  }
  // The same as it is, not zeroed: for what is written before it is read. Costs nothing until then.
  template <typename T>
  ArenaPiece<T> take(std::size_t count) {
    const std::size_t offset = reserve(sizeof(T) * count, alignof(T) < 8 ? 8 : alignof(T));
    return {data_addr_ + offset, reinterpret_cast<T*>(data_.data() + offset)};
  }
  // Copies bytes into the arena; returns their remote address.
  uint64_t put(std::span<const std::byte> bytes);
  template <typename T>
  uint64_t put_object(const T& object) {
    return put(std::as_bytes(std::span(&object, 1)));
  }
  // A NUL-terminated string.
  uint64_t put_string(std::string_view text);
  // What is still free, in bytes.
  std::size_t available() const noexcept { return data_.size() - used_; }
  // Forgets all scratch: every batch, piece and address from before is invalid.
  void reset() noexcept { used_ = first_scratch(); }

  // The addresses changed: the task has the objects elsewhere now.
  void moved_to(uint64_t code_addr, uint64_t data_addr) noexcept {
    code_addr_ = code_addr;
    data_addr_ = data_addr;
  }

 private:
  std::size_t reserve(std::size_t bytes, std::size_t align);
  std::size_t mailbox_offset(std::size_t slot) const;
  std::size_t first_scratch() const noexcept;

  Mapping code_, data_;
  uint64_t code_addr_, data_addr_;
  std::size_t slots_;
  std::size_t used_ = 0;
};

}  // namespace crx
