// The packets that the process and the engine of a session exchange over their socket pair. Page contents are in the
// slots of the page ring.
#pragma once

#include <cstddef>
#include <cstdint>

#include "agent-dst/ipc/packet.hpp"

namespace crx::ipc {

enum class SessionKind : uint8_t {
  message = 1,  // both directions: a piece of a serialised SessionMessage
  pages = 2,    // process -> engine: number = slot or kNoSlot; body = head of a raw batch (wire/page_codec.hpp)
  round = 3,    // process -> engine: number = the round that has ended
  closed = 4,   // process -> engine: the source is disconnected; body = reason
  release = 5,  // engine -> process: the engine has finished with slot `number`
};

struct SessionHeader {
  SessionKind kind = SessionKind::message;
  uint8_t more = 0;  // message: another piece follows
  uint16_t reserved = 0;
  uint32_t number = 0;
};
static_assert(sizeof(SessionHeader) == 8);

inline constexpr std::size_t kMaxBody = kMaxPacketBytes - sizeof(SessionHeader);
inline constexpr uint32_t kNoSlot = UINT32_MAX;
inline constexpr uint32_t kSlots = 16;  // number of slots, each of kBatchBytes

}  // namespace crx::ipc
