#include "agent-dst/session/signer_port.hpp"

#include <poll.h>

#include <algorithm>
#include <cstring>
#include <initializer_list>
#include <span>
#include <vector>

#include "common/base/clock.hpp"
#include "common/base/error.hpp"
#include "common/base/log.hpp"

namespace crx::session {
namespace {

constexpr char kSignerStep[] = "starting TLS";
constexpr int64_t kSignerMs = 10'000;

uint16_t bits_of(std::string_view digest) {
  for (const uint16_t bits : std::initializer_list<uint16_t>{256, 384, 512}) {
    if (digest.ends_with(std::to_string(bits))) return bits;
  }
  return 0;
}

}  // namespace

std::string SignerPort::exchange(ipc::SignerHeader header, std::string_view messages) {
  messages = messages.substr(0, std::min(messages.size(), ipc::kMaxHandshakeBytes));  // what is cut off is refused
  const auto sent = ipc::send_packet(link_.get(), std::as_bytes(std::span(&header, 1)),
                                     std::as_bytes(std::span(messages.data(), messages.size())));
  std::vector<std::byte> packet(ipc::kMaxPacketBytes);
  std::vector<Fd> none;
  std::size_t bytes = 0;
  const Deadline deadline = Deadline::in_ms(kSignerMs);
  auto result = sent == ipc::SendResult::sent ? ipc::ReceiveResult::would_block : ipc::ReceiveResult::closed;
  while (result == ipc::ReceiveResult::would_block && !deadline.passed()) {
    pollfd answer{link_.get(), POLLIN, 0};
    (void)::poll(&answer, 1, deadline.poll_ms());
    result = ipc::receive_packet(link_.get(), packet, bytes, none);
  }
  if (result != ipc::ReceiveResult::received || bytes < sizeof header)
    throw Error(ErrorCode::kernel, kSignerStep, "the signer of crx-agent does not answer");
  std::memcpy(&header, packet.data(), sizeof header);
  std::string text(reinterpret_cast<const char*>(packet.data()) + sizeof header, bytes - sizeof header);
  if (header.kind != ipc::SignerHeader::Kind::done) throw Error(ErrorCode::peer, kSignerStep, std::move(text));
  return text;
}

std::string SignerPort::sign(std::string_view messages, uint16_t suite, std::string_view digest) noexcept {
  try {
    ipc::SignerHeader header;
    header.suite = suite;
    header.digest = bits_of(digest);
    return exchange(header, messages);
  } catch (const std::exception& error) {
    log::debug("{}", error.what());
    return {};
  }
}

void SignerPort::vouch(std::string_view messages) {
  ipc::SignerHeader header;
  header.kind = ipc::SignerHeader::Kind::vouch;
  (void)exchange(header, messages);
}

}  // namespace crx::session
