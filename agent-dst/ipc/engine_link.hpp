// The engine's end of its session: a DestinationLink over the socket pair and the page ring.
#pragma once

#include <deque>
#include <string>
#include <vector>

#include "agent-dst/ipc/page_ring.hpp"
#include "agent-dst/ipc/session_packets.hpp"
#include "common/base/fd.hpp"
#include "wire/link.hpp"

namespace crx::ipc {

// Everything from the session's process is checked again: it parses hostile bytes and may have been taken over, so its
// packets are treated as if they came from the peer.
class EngineLink final : public wire::DestinationLink {
 public:
  // session: the socket to the session's process. ring: the memfd of the page ring. supervisor_fd: the socket on which
  // the supervisor asks this engine to stop; not owned, it must outlive the link.
  EngineLink(Fd session, Fd ring, int supervisor_fd);

  void send(const wire::SessionMessage& message) override;
  std::optional<wire::LinkEvent> receive(Deadline deadline) override;
  void release(uint32_t slot) override;
  bool has_ended() override;

 private:
  enum class Next { session, supervisor, timeout };
  Next wait(Deadline deadline) const;
  enum class Arrival { none, nothing_whole, event };
  Arrival take_packet();
  std::optional<wire::LinkEvent> on_packet(std::span<const std::byte> packet);
  wire::LinkEvent on_pages(uint32_t slot, std::span<const std::byte> head) const;
  bool send_piece(SessionHeader header, std::span<const std::byte> body);
  void close(std::string reason);

  Fd session_;
  PageRing ring_;
  int supervisor_fd_;
  std::vector<std::byte> packet_;
  std::string partial_;                // the pieces of a message received so far
  std::deque<wire::LinkEvent> ahead_;  // received by has_ended(), not yet by receive()
  bool closed_ = false;
  std::string reason_;
};

}  // namespace crx::ipc
