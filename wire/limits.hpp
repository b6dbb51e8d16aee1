// The limits that a receiver enforces. Both sides check; the connection of a peer that exceeds one is closed.
// Documented in PROTOCOL.md.
#pragma once

#include <cstddef>
#include <cstdint>

#include "wire/messages.pb.h"

namespace crx::wire {

inline constexpr uint32_t kProtocolVersion = 5;
inline constexpr char kAlpn[] = "crx/1";

// Hello and Query, which come before anything is known of the peer
inline constexpr std::size_t kMaxFirstMessageBytes = 64 << 10;
inline constexpr std::size_t kMaxMessageBytes = std::size_t{256} << 20;
inline constexpr int kMaxElements = 1 << 20;              // of any repeated field
inline constexpr std::size_t kMaxStringBytes = 64 << 10;  // of any string field
inline constexpr unsigned kMaxStreams = 16;
inline constexpr uint64_t kMaxAddress = uint64_t{1} << 56;  // user addresses, and offsets in shared memory

// Throws Error(peer), which names the field, when a message exceeds the limits.
void check_limits(const SessionMessage& message);

// Whether a source is allowed to send messages of this kind.
bool source_may_send(SessionMessage::BodyCase kind);

// "hello", "round_done", ...: the kind of a message for logs and errors.
const char* kind_name(SessionMessage::BodyCase kind);

}  // namespace crx::wire
