// The memory that a stopped task and the agent share while the task makes system calls for the agent.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

#include "common/base/fd.hpp"
#include "common/base/mapping.hpp"
#include "common/remote/remote_ptr.hpp"

namespace crx {

// A piece of the arena, one T or several: the same bytes at their address in the task (remote) and in the agent
// (local).
template <typename T>
struct ArenaPiece {
  RemotePtr<T> remote;
  T* local = nullptr;

  // The address of element i in the task.
  RemotePtr<T> at(std::size_t i) const noexcept { return RemotePtr<T>(remote.addr() + i * sizeof(T)); }
};

// Two shared memory objects: code (the stub and the landings, which the task maps R-X) and data (mailboxes, tables and
// arguments, RW). The agent has mappings of its own of both, so that filling a batch and reading its results costs no
// system call. Not thread-safe. The arena does not map anything in the task: agent-src/freeze (source) and
// agent-dst/vessel (destination) do.
class RemoteArena {
 public:
  // code, data: descriptors of the objects (any shmem: a memfd or a map_files link). data_bytes: the size of the data
  // object. code_addr, data_addr: the addresses at which the task maps them. slots: the number of threads that will run
  // batches. populate: allocates all pages now, for use where a page fault would be too expensive; otherwise pages are
  // allocated on first use. Throws Error.
  RemoteArena(const Fd& code, const Fd& data, std::size_t data_bytes, uint64_t code_addr, uint64_t data_addr,
              std::size_t slots, bool populate = true);

  // The size of the code object for `slots` threads, in bytes.
  static std::size_t code_bytes(std::size_t slots);
  // The size of the data object for `slots` threads, with room for `scratch` bytes of tables and arguments.
  static std::size_t data_bytes(std::size_t slots, std::size_t scratch);

  uint64_t code_addr() const noexcept { return code_addr_; }
  uint64_t data_addr() const noexcept { return data_addr_; }
  std::size_t code_size() const noexcept { return code_.size(); }
  std::size_t data_size() const noexcept { return data_.size(); }
  std::size_t slots() const noexcept { return slots_; }
  std::byte* mailbox(std::size_t slot) const { return data_.data() + mailbox_offset(slot); }
  uint64_t mailbox_addr(std::size_t slot) const { return data_addr_ + mailbox_offset(slot); }
  // The address in the task of a `syscall` instruction of the stub, for call_at() while the task has no vDSO.
  uint64_t syscall_addr() const;
  std::byte* landing(std::size_t slot) const;
  uint64_t landing_addr(std::size_t slot) const;

  // Allocates zeroed scratch memory in the data object (a bump allocator); throws Error(bug) when it is full. The piece
  // is valid until the end of the ArenaScope in which it was allocated.
  template <typename T>
  ArenaPiece<T> allocate(std::size_t count = 1) {
    const ArenaPiece<T> piece = take<T>(count);
    std::memset(static_cast<void*>(piece.local), 0, sizeof(T) * count);
    return piece;
  }
  // The same without zeroing, for memory that is written before it is read: its pages are not touched.
  template <typename T>
  ArenaPiece<T> take(std::size_t count) {
    const std::size_t offset = reserve(sizeof(T) * count, alignof(T) < 8 ? 8 : alignof(T));
    return {RemotePtr<T>(data_addr_ + offset), reinterpret_cast<T*>(data_.data() + offset)};
  }
  // Copies bytes into the arena and returns their address in the task.
  RemotePtr<std::byte> put(std::span<const std::byte> bytes);
  template <typename T>
  RemotePtr<T> put_object(const T& object) {
    return RemotePtr<T>(put(std::as_bytes(std::span(&object, 1))).addr());
  }
  // Copies the text with a terminating NUL.
  RemotePtr<char> put_string(std::string_view text);
  // The free scratch memory in bytes.
  std::size_t available() const noexcept { return data_.size() - used_; }
  // Records new addresses: the task has mapped the objects elsewhere.
  void moved_to(uint64_t code_addr, uint64_t data_addr) noexcept {
    code_addr_ = code_addr;
    data_addr_ = data_addr;
  }

 private:
  friend class ArenaScope;
  std::size_t reserve(std::size_t bytes, std::size_t align);
  std::size_t mailbox_offset(std::size_t slot) const;
  std::size_t first_scratch() const noexcept;

  Mapping code_, data_;
  uint64_t code_addr_, data_addr_;
  std::size_t slots_;
  std::size_t used_ = 0;
};

// Scratch for a while: what was allocated after construction (pieces, batches, strings) is free again when this ends,
// and its addresses are invalid. Scopes of one arena nest: the later one ends first.
class [[nodiscard]] ArenaScope {
 public:
  explicit ArenaScope(RemoteArena& arena) noexcept : arena_(arena), used_(arena.used_) {}
  ArenaScope(const ArenaScope&) = delete;
  ArenaScope& operator=(const ArenaScope&) = delete;
  ~ArenaScope() { arena_.used_ = used_; }

 private:
  RemoteArena& arena_;
  std::size_t used_;
};

}  // namespace crx
