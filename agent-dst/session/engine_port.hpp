// A session process's end of the connection to its engine. Includes Asio: only .cpp files of this folder include this
// header.
#pragma once

#include <asio/awaitable.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <string>
#include <vector>

#include "agent-dst/ipc/page_ring.hpp"
#include "agent-dst/ipc/session_packets.hpp"
#include "common/base/fd.hpp"

namespace crx::session {

// All calls must come from the process's only thread.
class EnginePort {
 public:
  // link: the socket to the engine. ring: the shared memory of page slots (page_ring.hpp).
  EnginePort(asio::any_io_executor executor, Fd link, Fd ring);

  // Waits while the engine's queue is full; throws Error(peer) once the engine has ended.
  asio::awaitable<void> send_message(std::string serialised);
  asio::awaitable<void> send_pages(uint32_t slot, std::string head);
  asio::awaitable<void> send_round(uint32_t round);
  // Tells the engine that the connection to the source has ended, and why; best effort, does not wait. Receiving
  // continues until the engine closes.
  void send_closed(const std::string& reason) noexcept;

  struct Packet {
    ipc::SessionHeader header;
    std::string body;
  };
  // False when the engine has closed its end.
  asio::awaitable<bool> receive(Packet& packet);

  // Returns a free slot, or kNoSlot.
  uint32_t try_take_slot();
  void give_back_slot(uint32_t slot);
  std::span<std::byte> slot(uint32_t slot) const { return ring_.slot(slot); }
  // Closes the connection to the engine at once.
  void close() noexcept;
  // True after a send found that the engine has ended. The source is not at fault; how the engine ended will be known
  // soon.
  bool gone() const { return gone_; }

 private:
  asio::awaitable<void> send(ipc::SessionHeader header, std::string body);

  [[noreturn]] void fail();

  bool gone_ = false;
  asio::posix::stream_descriptor link_;
  ipc::PageRing ring_;
  // a stack: the slot returned last is used first, since its memory is in the caches
  std::vector<uint32_t> free_slots_;
  std::vector<std::byte> received_;
};

}  // namespace crx::session
