// The front's end of the connection to one engine. Includes Asio: for .cpp files of the front only.
#pragma once

#include <asio/awaitable.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <string>
#include <vector>

#include "agent-dst/ipc/page_ring.hpp"
#include "agent-dst/ipc/session_packets.hpp"
#include "common/base/fd.hpp"

namespace crx::front {

// All calls on the front's one thread.
class EnginePort {
 public:
  EnginePort(asio::any_io_executor executor, Fd link, Fd ring);

  // Waits while the engine's queue is full; throws Error(peer) once the engine is gone.
  asio::awaitable<void> send_message(std::string serialised);
  asio::awaitable<void> send_pages(uint32_t slot, std::string head);
  asio::awaitable<void> send_round(uint32_t round);
  // Says why the source is gone; best effort, does not wait. Receiving goes on until the engine closes.
  void send_closed(const std::string& reason) noexcept;

  struct Packet {
    ipc::SessionHeader header;
    std::string body;
  };
  // False when the engine has closed its end.
  asio::awaitable<bool> receive(Packet& packet);

  // A free slot, or kNoSlot.
  uint32_t try_take_slot();
  void give_back_slot(uint32_t slot);
  std::span<std::byte> slot(uint32_t slot) const { return ring_.slot(slot); }
  void close() noexcept;
  // A send found the engine gone. That is no fault of the source; how the engine ended is known soon.
  bool gone() const { return gone_; }

 private:
  asio::awaitable<void> send(ipc::SessionHeader header, std::string body);

  [[noreturn]] void fail();

  bool gone_ = false;
  asio::posix::stream_descriptor link_;
  ipc::PageRing ring_;
  std::vector<uint32_t> free_slots_;  // the last one given back is used first: its memory is warm
  std::vector<std::byte> received_;
};

}  // namespace crx::front
