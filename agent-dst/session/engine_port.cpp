#include "agent-dst/session/engine_port.hpp"

#include <algorithm>
#include <asio/redirect_error.hpp>
#include <asio/use_awaitable.hpp>
#include <cstring>

#include "common/base/error.hpp"

namespace crx::session {
namespace {

using asio::posix::stream_descriptor;

}  // namespace

EnginePort::EnginePort(asio::any_io_executor executor, Fd link, Fd ring)
    : link_(std::move(executor), link.release()), ring_(std::move(ring), true), received_(ipc::kMaxPacketBytes) {
  for (uint32_t slot = ipc::kSlots; slot > 0; --slot) free_slots_.push_back(slot - 1);
}

void EnginePort::fail() {
  gone_ = true;
  throw Error(ErrorCode::peer, "talking to the engine", "the engine of this session ended");
}

asio::awaitable<void> EnginePort::send(ipc::SessionHeader header, std::string body) {
  for (;;) {
    if (!link_.is_open()) fail();
    const auto result = ipc::send_packet(link_.native_handle(), std::as_bytes(std::span(&header, 1)),
                                         std::as_bytes(std::span(body.data(), body.size())));
    if (result == ipc::SendResult::sent) co_return;
    if (result == ipc::SendResult::closed) fail();
    asio::error_code ec;
    co_await link_.async_wait(stream_descriptor::wait_write, asio::redirect_error(asio::use_awaitable, ec));
    if (ec) fail();
  }
}

asio::awaitable<void> EnginePort::send_message(std::string serialised) {
  std::size_t at = 0;
  do {
    const std::size_t piece = std::min(ipc::kMaxBody, serialised.size() - at);
    ipc::SessionHeader header;
    header.more = at + piece < serialised.size() ? 1 : 0;
    std::string body = serialised.substr(at, piece);
    co_await send(header, std::move(body));
    at += piece;
  } while (at < serialised.size());
}

asio::awaitable<void> EnginePort::send_pages(uint32_t slot, std::string head) {
  ipc::SessionHeader header;
  header.kind = ipc::SessionKind::pages;
  header.number = slot;
  co_await send(header, std::move(head));
}

asio::awaitable<void> EnginePort::send_round(uint32_t round) {
  ipc::SessionHeader header;
  header.kind = ipc::SessionKind::round;
  header.number = round;
  std::string none;
  co_await send(header, std::move(none));
}

void EnginePort::send_closed(const std::string& reason) noexcept {
  if (!link_.is_open()) return;
  ipc::SessionHeader header;
  header.kind = ipc::SessionKind::closed;
  (void)ipc::send_packet(link_.native_handle(), std::as_bytes(std::span(&header, 1)),
                         std::as_bytes(std::span(reason.data(), std::min<std::size_t>(reason.size(), 4096))));
  // If the queue was full, the engine sees the end of the stream instead of the packet.
  (void)::shutdown(link_.native_handle(), SHUT_WR);
}

asio::awaitable<bool> EnginePort::receive(Packet& packet) {
  for (;;) {
    if (!link_.is_open()) co_return false;
    std::size_t bytes = 0;
    std::vector<Fd> fds;
    const auto result = ipc::receive_packet(link_.native_handle(), received_, bytes, fds);
    if (result == ipc::ReceiveResult::closed) co_return false;
    if (result == ipc::ReceiveResult::received) {
      if (bytes < sizeof packet.header) co_return false;
      std::memcpy(&packet.header, received_.data(), sizeof packet.header);
      packet.body.assign(reinterpret_cast<const char*>(received_.data()) + sizeof packet.header,
                         bytes - sizeof packet.header);
      co_return true;
    }
    asio::error_code ec;
    co_await link_.async_wait(stream_descriptor::wait_read, asio::redirect_error(asio::use_awaitable, ec));
    if (ec) co_return false;
  }
}

uint32_t EnginePort::try_take_slot() {
  if (free_slots_.empty()) return ipc::kNoSlot;
  const uint32_t slot = free_slots_.back();
  free_slots_.pop_back();
  return slot;
}

void EnginePort::give_back_slot(uint32_t slot) {
  if (slot < ipc::kSlots && free_slots_.size() < ipc::kSlots) free_slots_.push_back(slot);
}

void EnginePort::close() noexcept {
  asio::error_code ignored;
  link_.close(ignored);
}

}  // namespace crx::session
