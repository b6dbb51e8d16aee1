#include "agent-dst/ipc/engine_link.hpp"

#include <fmt/format.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "agent-dst/ipc/supervisor_packets.hpp"
#include "common/base/error.hpp"
#include "common/base/log.hpp"
#include "wire/limits.hpp"
#include "wire/page_codec.hpp"

namespace crx::ipc {
namespace {

constexpr int64_t kSendLimitMs = 60'000;
constexpr std::size_t kMostAhead = 64;  // a source that waits for an answer sends no more than Abort

[[noreturn]] void broken(std::string what) {
  throw Error(ErrorCode::peer, "receiving from the session's process", std::move(what));
}

}  // namespace

EngineLink::EngineLink(Fd session, Fd ring, int supervisor_fd)
    : session_(std::move(session)),
      ring_(std::move(ring), false),
      supervisor_fd_(supervisor_fd),
      packet_(kMaxPacketBytes) {}

void EngineLink::close(std::string reason) {
  if (closed_) return;
  closed_ = true;
  reason_ = std::move(reason);
}

bool EngineLink::send_piece(SessionHeader header, std::span<const std::byte> body) {
  const Deadline deadline = Deadline::in_ms(kSendLimitMs);
  for (;;) {
    const SendResult result = send_packet(session_.get(), std::as_bytes(std::span(&header, 1)), body);
    if (result == SendResult::sent) return true;
    if (result == SendResult::closed) return false;
    pollfd waiting{session_.get(), POLLOUT, 0};
    if (::poll(&waiting, 1, deadline.poll_ms()) == 0) return false;
  }
}

void EngineLink::send(const wire::SessionMessage& message) {
  const std::string text = message.SerializeAsString();
  std::size_t at = 0;
  do {
    const std::size_t piece = std::min(kMaxBody, text.size() - at);
    SessionHeader header;
    header.more = at + piece < text.size() ? 1 : 0;
    if (!send_piece(header, std::as_bytes(std::span(text.data() + at, piece)))) {
      close("the connection to the source is closed");
      log::debug("cannot send the message {}: {}", wire::kind_name(message.body_case()), reason_);
      return;
    }
    at += piece;
  } while (at < text.size());
}

void EngineLink::release(uint32_t slot) {
  if (slot == kNoSlot) return;
  SessionHeader header;
  header.kind = SessionKind::release;
  header.number = slot;
  if (!send_piece(header, {})) close("the connection to the source is closed");
}

EngineLink::Next EngineLink::wait(Deadline deadline) const {
  std::array<pollfd, 2> fds = {pollfd{session_.get(), POLLIN, 0}, pollfd{supervisor_fd_, POLLIN, 0}};
  for (;;) {
    const int ready = ::poll(fds.data(), fds.size(), deadline.poll_ms());
    if (ready < 0 && errno != EINTR) throw_errno("waiting for the source", "poll");
    if (ready > 0) return fds[1].revents != 0 ? Next::supervisor : Next::session;
    if (ready == 0 && deadline.passed()) return Next::timeout;
  }
}

// Takes the next packet, if one has arrived; the event that it completes is in ahead_.
EngineLink::Arrival EngineLink::take_packet() {
  std::size_t bytes = 0;
  std::vector<Fd> fds;
  const ReceiveResult result = receive_packet(session_.get(), packet_, bytes, fds);
  if (result == ReceiveResult::closed) close("the process that serves the connections ended");
  if (result != ReceiveResult::received) return Arrival::none;
  auto event = on_packet(std::span<const std::byte>(packet_).first(bytes));
  if (!event) return Arrival::nothing_whole;
  ahead_.push_back(std::move(*event));
  return Arrival::event;
}

std::optional<wire::LinkEvent> EngineLink::receive(Deadline deadline) {
  for (;;) {
    if (!ahead_.empty()) {
      wire::LinkEvent event = std::move(ahead_.front());
      ahead_.pop_front();
      return event;
    }
    if (closed_) return wire::LinkClosed{reason_};
    // Under load the next packet has arrived already; receiving it without poll(2) saves a system call.
    if (take_packet() != Arrival::none || closed_) continue;
    const Next next = wait(deadline);
    if (next == Next::timeout) return std::nullopt;
    if (next == Next::supervisor) close("crx-agent is being stopped");
  }
}

bool EngineLink::has_ended() {
  while (!closed_ && ahead_.size() < kMostAhead && take_packet() != Arrival::none) {
  }
  pollfd supervisor{supervisor_fd_, POLLIN, 0};
  return closed_ || ::poll(&supervisor, 1, 0) > 0;
}

std::optional<wire::LinkEvent> EngineLink::on_packet(std::span<const std::byte> packet) {
  SessionHeader header;
  if (packet.size() < sizeof header) broken("a packet that is too short");
  std::memcpy(&header, packet.data(), sizeof header);
  const std::span<const std::byte> body = packet.subspan(sizeof header);
  switch (header.kind) {
    case SessionKind::message: {
      partial_.append(reinterpret_cast<const char*>(body.data()), body.size());
      if (partial_.size() > wire::kMaxMessageBytes) broken("a message that is too long");
      if (header.more != 0) return std::nullopt;
      wire::SessionMessage message;
      if (!message.ParseFromString(partial_)) broken("a message that is none");
      partial_.clear();
      return message;
    }
    case SessionKind::pages:
      return on_pages(header.number, body);
    case SessionKind::round:
      return wire::RoundEnded{header.number};
    case SessionKind::closed:
      close(std::string(reinterpret_cast<const char*>(body.data()), body.size()));
      return std::nullopt;
    default:
      broken(fmt::format("a packet of kind {}", static_cast<int>(header.kind)));
  }
}

wire::LinkEvent EngineLink::on_pages(uint32_t slot, std::span<const std::byte> head) const {
  const std::size_t head_size = wire::head_bytes(head);
  if (head.size() != head_size) broken("a batch head of the wrong size");
  const uint32_t encoded = static_cast<uint32_t>(wire::encoded_bytes_of(head));
  wire::PageBatch batch = wire::parse_head(head, head_size + encoded);
  const uint64_t content = batch.content_bytes();
  if (batch.encoding != wire::PageEncoding::raw || (content > 0 && slot >= kSlots)) broken("a batch without its slot");
  wire::PagesArrived pages;
  pages.space = batch.space;
  pages.ranges = std::move(batch.ranges);
  pages.zero_ranges = std::move(batch.zero_ranges);
  pages.slot = content > 0 ? slot : kNoSlot;
  if (content > 0) pages.bytes = ring_.slot(slot).first(content);
  return pages;
}

}  // namespace crx::ipc
