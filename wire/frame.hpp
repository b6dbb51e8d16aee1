// Frames, the units inside the TLS stream: a fixed header of eight bytes, then a payload (PROTOCOL.md §3).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace crx::wire {

enum class FrameType : uint8_t {
  message = 1,    // a serialised SessionMessage
  pages = 2,      // a page batch (page_codec.hpp)
  end_round = 3,  // u32 round
  ping = 4,       // u64 token
  pong = 5,       // u64 token of the ping
  join = 6,       // first frame of a data connection: 32 bytes session id, u32 stream
  joined = 7,     // the answer to join: u32 stream
};

inline constexpr std::size_t kFrameHeaderBytes = 8;

struct FrameHeader {
  FrameType type;
  uint32_t length;  // payload size in bytes
};

// Write and read little-endian integers at p.
void put_u32(std::byte* p, uint32_t value);
void put_u64(std::byte* p, uint64_t value);
uint32_t get_u32(const std::byte* p);
uint64_t get_u64(const std::byte* p);

// The eight bytes of a frame header.
std::array<std::byte, kFrameHeaderBytes> encode(FrameHeader header);
// Throws Error(peer) when the type is unknown, reserved bits are set, or the length exceeds the limit of the type.
FrameHeader parse_frame_header(std::span<const std::byte, kFrameHeaderBytes> bytes);

// The header of a frame whose payload is written separately.
std::string frame_head(FrameType type, std::size_t payload_bytes);
// Complete small frames, ready to be written.
std::string frame(FrameType type, std::string_view payload);
std::string frame_u32(FrameType type, uint32_t value);
std::string frame_u64(FrameType type, uint64_t value);

struct Join {
  std::string session;
  uint32_t stream = 0;
};
std::string frame_join(const Join& join);
// Throws Error(peer) for a malformed payload.
Join parse_join(std::string_view payload);

}  // namespace crx::wire
