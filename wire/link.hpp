// The interfaces through which the engines use the connection: two synchronous, single-threaded ends without any Asio
// or TLS types.
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

// A page-aligned buffer of kBatchBytes from a pool; the destructor returns it to the pool.
class PageBuffer {
 public:
  struct Pool {
    virtual ~Pool() = default;
    virtual void take_back(std::byte* data) noexcept = 0;
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
    if (data_ != nullptr) pool_->take_back(data_);
  }
  std::byte* data() const noexcept { return data_; }
  std::span<std::byte> span() const noexcept { return {data_, kBatchBytes}; }

 private:
  std::byte* data_ = nullptr;
  Pool* pool_ = nullptr;
};

struct LinkStatistics {
  uint64_t pages_raw = 0;   // sent uncompressed
  uint64_t pages_zero = 0;  // found to be all zero, so no content was sent
  uint64_t pages_compressed = 0;
  uint64_t bytes_raw = 0;   // of all pages given to send_pages
  uint64_t bytes_sent = 0;  // the part of bytes_raw whose pages have been written to the connections
  uint64_t bytes_wire = 0;  // all bytes written to the connections (TLS payload)
  int64_t rtt_us = 0;       // the smallest round trip seen, from the handshake on
};

// The source engine's end. All calls come from one thread; the wire side has threads of its own. Every call throws
// Error(peer) once the connection is lost; a Failure from the peer is thrown as the Error that it carries, with the
// peer's name added to the step.
class SourceLink {
 public:
  virtual ~SourceLink() = default;

  // Queues a message after everything that was sent on the control stream before.
  virtual void send(const SessionMessage& message) = 0;
  // Returns a buffer to fill; blocks while all are in use (this is the back pressure of the wire). Returns one without
  // data when the deadline passed.
  virtual PageBuffer acquire(Deadline deadline) = 0;
  PageBuffer acquire() { return acquire(Deadline::never()); }
  // Sends the pages of `ranges` (ascending, at most kBatchPages in total), whose contents lie one after another at the
  // start of the buffer. The link takes ownership of the buffer.
  virtual void send_pages(PageSpace space, std::vector<PageRange> ranges, PageBuffer buffer) = 0;
  // Marks the end of a round on every stream: anything sent after it, messages or pages, reaches the other engine after
  // everything that was sent before it.
  virtual void end_round(uint32_t round) = 0;
  // The next message; nullopt when the deadline passed.
  virtual std::optional<SessionMessage> receive(Deadline deadline) = 0;
  virtual LinkStatistics statistics() const = 0;
};

// The events that a destination engine receives, in order.
struct PagesArrived {
  PageSpace space;
  std::vector<PageRange> ranges;       // pages with content, ascending; their contents lie one after another in `bytes`
  std::span<const std::byte> bytes;    // owned by the link, valid until release(slot)
  std::vector<PageRange> zero_ranges;  // pages that are all zero
  uint32_t slot = 0;
};
struct RoundEnded {
  uint32_t round = 0;
};
// The connection to the source has ended; with the source's reason, if it sent one.
struct LinkClosed {
  std::string reason;
};
using LinkEvent = std::variant<SessionMessage, PagesArrived, RoundEnded, LinkClosed>;

// The destination engine's end; single-threaded.
class DestinationLink {
 public:
  virtual ~DestinationLink() = default;
  virtual void send(const SessionMessage& message) = 0;
  // The next event; nullopt when the deadline passed. After a LinkClosed every further call returns LinkClosed.
  virtual std::optional<LinkEvent> receive(Deadline deadline) = 0;
  // Returns the buffer of a PagesArrived to the link.
  virtual void release(uint32_t slot) = 0;
  // Whether receive() will return LinkClosed after what has arrived so far, as far as that is known now; never waits.
  // For work that takes long and is for the source alone.
  virtual bool has_ended() { return false; }
};

}  // namespace crx::wire
