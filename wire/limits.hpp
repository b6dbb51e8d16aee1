// What a receiver accepts. Both sides check; a peer that goes beyond is cut off. Documented in PROTOCOL.md.
#pragma once

#include <cstddef>
#include <cstdint>

#include "wire/messages.pb.h"

namespace crx::wire {

inline constexpr uint32_t kProtocolVersion = 3;
inline constexpr char kAlpn[] = "crx/1";

inline constexpr std::size_t kMaxFirstMessageBytes = 64 << 10;  // Hello, Query: before anything else is known
inline constexpr std::size_t kMaxMessageBytes = std::size_t{256} << 20;
inline constexpr int kMaxElements = 1 << 20;              // of any repeated field
inline constexpr std::size_t kMaxStringBytes = 64 << 10;  // of any string field
inline constexpr unsigned kMaxStreams = 16;
inline constexpr uint64_t kMaxAddress = uint64_t{1} << 56;  // user addresses, and offsets in shared memory

// Throws Error(peer) that names the field when a message holds more than the limits allow.
void check_limits(const SessionMessage& message);

// Whether a source may send this kind of message at all.
bool source_may_send(SessionMessage::BodyCase kind);

// "hello", "round_done", ...: for logs and errors.
const char* kind_name(SessionMessage::BodyCase kind);

}  // namespace crx::wire
