#include "wire/frame.hpp"

#include <fmt/format.h>

#include <cstring>

#include "common/base/error.hpp"
#include "common/base/journal.hpp"
#include "wire/limits.hpp"
#include "wire/page_codec.hpp"

namespace crx::wire {
namespace {

template <typename T>
void put(std::byte* p, T value) {
  for (std::size_t i = 0; i < sizeof value; ++i) p[i] = static_cast<std::byte>(value >> (8 * i));
}
template <typename T>
T get(const std::byte* p) {
  T value = 0;
  for (std::size_t i = 0; i < sizeof value; ++i) value |= static_cast<T>(static_cast<T>(p[i]) << (8 * i));
  return value;
}

constexpr std::size_t kSessionIdBytes = 32;
constexpr std::size_t kJoinBytes = kSessionIdBytes + 4;

[[noreturn]] void bad_frame(std::string what) {
  throw Error(ErrorCode::peer, "reading a frame", std::move(what));
}

struct Bounds {
  std::size_t least, most;
};
Bounds bounds(uint8_t type) {
  switch (static_cast<FrameType>(type)) {
    case FrameType::message:
      return {1, kMaxMessageBytes};
    case FrameType::pages:
      return {kBatchHeaderBytes, kMaxBatchPayload};
    case FrameType::end_round:
      return {4, 4};
    case FrameType::ping:
    case FrameType::pong:
      return {8, 8};
    case FrameType::join:
      return {kJoinBytes, kJoinBytes};
    case FrameType::joined:
      return {4, 4};
  }
  bad_frame(fmt::format("type {} is unknown; check that both hosts run the same version of crx", type));
}

}  // namespace

void put_u32(std::byte* p, uint32_t value) {
  put(p, value);
}
void put_u64(std::byte* p, uint64_t value) {
  put(p, value);
}
uint32_t get_u32(const std::byte* p) {
  return get<uint32_t>(p);
}
uint64_t get_u64(const std::byte* p) {
  return get<uint64_t>(p);
}

std::array<std::byte, kFrameHeaderBytes> encode(FrameHeader header) {
  std::array<std::byte, kFrameHeaderBytes> bytes{};
  bytes[0] = static_cast<std::byte>(header.type);
  put_u32(bytes.data() + 4, header.length);
  return bytes;
}

FrameHeader parse_frame_header(std::span<const std::byte, kFrameHeaderBytes> bytes) {
  const auto type = static_cast<uint8_t>(bytes[0]);
  const Bounds allowed = bounds(type);
  if (bytes[1] != std::byte{0} || bytes[2] != std::byte{0} || bytes[3] != std::byte{0})
    bad_frame("reserved bits are set");
  const uint32_t length = get_u32(bytes.data() + 4);
  if (length < allowed.least || length > allowed.most) {
    bad_frame(fmt::format("type {} has {} bytes; {} to {} are allowed", type, length, allowed.least, allowed.most));
  }
  return {static_cast<FrameType>(type), length};
}

std::string frame_head(FrameType type, std::size_t payload_bytes) {
  const auto head = encode({type, static_cast<uint32_t>(payload_bytes)});
  return {reinterpret_cast<const char*>(head.data()), head.size()};
}

std::string frame(FrameType type, std::string_view payload) {
  std::string out = frame_head(type, payload.size());
  out.append(payload);
  return out;
}

std::string frame_u32(FrameType type, uint32_t value) {
  std::array<std::byte, 4> bytes{};
  put_u32(bytes.data(), value);
  return frame(type, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

std::string frame_u64(FrameType type, uint64_t value) {
  std::array<std::byte, 8> bytes{};
  put_u64(bytes.data(), value);
  return frame(type, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

std::string frame_join(const Join& join) {
  std::array<std::byte, 4> stream{};
  put_u32(stream.data(), join.stream);
  std::string payload = join.session;
  payload.append(reinterpret_cast<const char*>(stream.data()), stream.size());
  return frame(FrameType::join, payload);
}

Join parse_join(std::string_view payload) {
  if (payload.size() != kJoinBytes) bad_frame("a join of the wrong length");
  Join join;
  join.session = std::string(payload.substr(0, kSessionIdBytes));
  join.stream = get_u32(reinterpret_cast<const std::byte*>(payload.data()) + kSessionIdBytes);
  if (!is_session_id(join.session)) bad_frame("a join without a session id");
  if (join.stream < 1 || join.stream > kMaxStreams) bad_frame(fmt::format("a join as stream {}", join.stream));
  return join;
}

}  // namespace crx::wire
