// What an engine sees of the connection: two synchronous, single-threaded ends that know neither Asio nor
// TLS.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "common/base/clock.hpp"
#include "common/base/page.hpp"
#include "wire/messages.pb.h"

namespace crx::wire {

inline constexpr std::size_t kBatchPages = 256;
inline constexpr std::size_t kBatchBytes = kBatchPages * kPageSize;

// A pooled, page-aligned buffer of kBatchBytes; goes back to its pool when destroyed.
class PageBuffer {
 public:
  struct Pool {
    virtual ~Pool() = default;
    virtual void rollback(std::byte* data) noexcept = 0;
  };
  PageBuffer() noexcept = default;
  PageBuffer(std::byte* data, Pool* pool) noexcept : data_(data), pool_(pool) {}
  PageBuffer(PageBuffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), pool_(std::exchange(other.pool_, nullptr)) {}
  PageBuffer& operator=(PageBuffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(pool_, other.pool_);
    return *this;
  }
  ~PageBuffer() {
    if (data_ != nullptr) pool_->rollback(data_);
  }
  std::byte* data() const noexcept { return data_; }
  std::span<std::byte> span() const noexcept { return {data_, kBatchBytes}; }

 private:
  std::byte* data_ = nullptr;
  Pool* pool_ = nullptr;
};

struct LinkStatistics {
  uint64_t pages_raw = 0;   // sent as they are
  uint64_t pages_zero = 0;  // found to be all zero
  uint64_t pages_compressed = 0;
  uint64_t bytes_raw = 0;   // pages_sent * 4096
  uint64_t bytes_wire = 0;  // everything written to the connections, TLS payload
  int64_t rtt_us = 0;       // smallest seen, from the handshake
};

// The source engine's end. All calls come from one thread; the wire side runs on threads of its own.
// Every call throws Error(peer) once the connection is lost; a Failure from the peer is thrown as the Error
// it carries, with the peer's name put into the step.
class SourceLink {
 public:
  virtual ~SourceLink() = default;

  // Queues a message behind everything sent before on the control stream.
  virtual void send(const SessionMessage& message) = 0;
  // An empty buffer; blocks while all are under way (this is the back pressure of the wire).
  virtual PageBuffer acquire() = 0;
  // Sends the pages of `ranges` (ascending, at most kBatchPages in all), whose bytes stand one after another
  // at the buffer's start. The buffer is the link's from here on.
  virtual void send_pages(PageSpace space, std::vector<PageRange> ranges, PageBuffer buffer) = 0;
  // Marks the end of a round on every stream: whatever is sent after it, control or pages, reaches the other
  // engine after everything that was sent before it.
  virtual void end_round(uint32_t round) = 0;
  // The next message; nothing when the deadline passed.
  virtual std::optional<SessionMessage> receive(Deadline deadline) = 0;
  virtual LinkStatistics statistics() const = 0;
};

// What a destination engine receives, in order.
struct PagesArrived {
  PageSpace space;
  std::vector<PageRange> ranges;       // pages with content, ascending; their bytes one after another in `bytes`
  std::span<const std::byte> bytes;    // valid until release(slot); owned by the link
  std::vector<PageRange> zero_ranges;  // pages that are all zero
  uint32_t slot = 0;
};
struct RoundEnded {
  uint32_t round = 0;
};
// The source is gone (its reason, if it gave one).
struct LinkClosed {
  std::string reason;
};
using LinkEvent = std::variant<SessionMessage, PagesArrived, RoundEnded, LinkClosed>;

// The destination engine's end; single-threaded.
class DestinationLink {
 public:
  virtual ~DestinationLink() = default;
  virtual void send(const SessionMessage& message) = 0;
  // The next event; nothing when the deadline passed. After LinkClosed it gives LinkClosed again.
  virtual std::optional<LinkEvent> receive(Deadline deadline) = 0;
  // Gives the bytes of a PagesArrived back.
  virtual void release(uint32_t slot) = 0;
};

}  // namespace crx::wire
