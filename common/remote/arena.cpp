#include "common/remote/arena.hpp"

#include <sys/mman.h>

#include "common/base/error.hpp"
#include "common/base/page.hpp"
#include "common/remote/stub_layout.hpp"

namespace crx {
namespace {

std::size_t stub_bytes() {
  return static_cast<std::size_t>(stub::crx_stub_end - stub::crx_stub_begin);
}
std::size_t landings_offset() {
  return (stub_bytes() + 63) & ~std::size_t{63};
}

}  // namespace

std::size_t RemoteArena::code_bytes(std::size_t slots) {
  return page_up(landings_offset() + slots * stub::kLandingStride);
}

std::size_t RemoteArena::data_bytes(std::size_t slots, std::size_t scratch) {
  return page_up(slots * stub::kMailboxStride + scratch);
}

RemoteArena::RemoteArena(const Fd& code, const Fd& data, std::size_t data_bytes, uint64_t code_addr, uint64_t data_addr,
                         std::size_t slots, bool populate)
    : code_(Mapping::map(code_bytes(slots), PROT_READ | PROT_WRITE, MAP_SHARED | (populate ? MAP_POPULATE : 0),
                         code.get())),
      data_(Mapping::map(data_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | (populate ? MAP_POPULATE : 0), data.get())),
      code_addr_(code_addr),
      data_addr_(data_addr),
      slots_(slots) {
  std::memcpy(code_.data(), stub::crx_stub_begin, stub_bytes());
  used_ = first_scratch();
}

std::size_t RemoteArena::mailbox_offset(std::size_t slot) const {
  if (slot >= slots_)
    throw Error(ErrorCode::bug, "running a remote batch", "no mailbox for slot " + std::to_string(slot));
  return slot * stub::kMailboxStride;
}

std::size_t RemoteArena::first_scratch() const noexcept {
  return slots_ * stub::kMailboxStride;
}

uint64_t RemoteArena::syscall_addr() const {
  const std::string_view text(reinterpret_cast<const char*>(stub::crx_stub_begin), stub_bytes());
  return code_addr_ + text.find("\x0f\x05");
}

std::byte* RemoteArena::landing(std::size_t slot) const {
  return code_.data() + landings_offset() + slot * stub::kLandingStride;
}

uint64_t RemoteArena::landing_addr(std::size_t slot) const {
  return code_addr_ + landings_offset() + slot * stub::kLandingStride;
}

std::size_t RemoteArena::reserve(std::size_t bytes, std::size_t align) {
  const std::size_t offset = (used_ + align - 1) / align * align;
  if (bytes > data_.size() || offset > data_.size() - bytes) {
    throw Error(ErrorCode::bug, "running a remote batch", "the arena is full");
  }
  used_ = offset + bytes;
  return offset;
}

RemotePtr<std::byte> RemoteArena::put(std::span<const std::byte> bytes) {
  const auto piece = take<std::byte>(bytes.size());
  if (!bytes.empty()) std::memcpy(piece.local, bytes.data(), bytes.size());
  return piece.remote;
}

RemotePtr<char> RemoteArena::put_string(std::string_view text) {
  const auto piece = take<char>(text.size() + 1);
  std::memcpy(piece.local, text.data(), text.size());
  piece.local[text.size()] = 0;
  return piece.remote;
}

}  // namespace crx
