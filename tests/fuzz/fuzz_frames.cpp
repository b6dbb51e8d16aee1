// The bytes of a connection, as the front reads them after TLS: frames, and the messages in them. What is taken must be
// the same when it is written and read again.
#include <algorithm>
#include <cstdlib>
#include <span>
#include <string>

#include "common/base/error.hpp"
#include "tests/fuzz/input.hpp"
#include "wire/failure.hpp"
#include "wire/frame.hpp"
#include "wire/limits.hpp"

namespace {

using namespace crx;
using wire::FrameType;
using wire::SessionMessage;

void read_message(const std::string& payload) {
  SessionMessage message;
  if (!message.ParseFromString(payload)) return;
  check_limits(message);
  if (message.has_failure()) {
    const Error error = wire::to_error(message.failure(), "there");
    if (wire::to_error(wire::to_failure(error), "there").reason() != error.reason()) std::abort();
  }
  if (!wire::source_may_send(message.body_case()) && wire::kind_name(message.body_case()) == nullptr) std::abort();
  message.DiscardUnknownFields();
  SessionMessage again;
  if (!again.ParseFromString(message.SerializeAsString()) || again.body_case() != message.body_case()) std::abort();
}

void read_join(const std::string& payload) {
  const wire::Join join = wire::parse_join(payload);
  if (wire::frame_join(join) != wire::frame(FrameType::join, payload)) std::abort();
}

// Returns the number of bytes that the first frame takes.
std::size_t read_frame(std::string_view bytes) {
  const auto head =
      std::as_bytes(std::span<const char, wire::kFrameHeaderBytes>(bytes.data(), wire::kFrameHeaderBytes));
  const wire::FrameHeader header = wire::parse_frame_header(head);
  if (!std::ranges::equal(wire::encode(header), head)) std::abort();
  const std::string payload(bytes.substr(wire::kFrameHeaderBytes, header.length));
  if (payload.size() == header.length && header.type == FrameType::message) read_message(payload);
  if (payload.size() == header.length && header.type == FrameType::join) read_join(payload);
  return wire::kFrameHeaderBytes + payload.size();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  try {
    while (rest.size() >= wire::kFrameHeaderBytes) rest.remove_prefix(read_frame(rest));
  } catch (const Error&) {
  }
  return 0;
}
