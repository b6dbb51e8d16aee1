// The PageSink that sends pages over the connections of a migration.
#pragma once

#include <functional>
#include <utility>
#include <vector>

#include "agent-src/memory/page_sink.hpp"
#include "wire/link.hpp"

namespace crx {

// Borrows the link, which must outlive it. acquire() blocks while all buffers of the link are in use.
class LinkPageSink final : public PageSink {
 public:
  // Optional callbacks that observe the sink. The sink calls look() after every batch, and at least every `wait_ms`
  // milliseconds while it waits for a free buffer; it calls skip() for pages that are not sent.
  struct Watch {
    std::function<void()> look;
    std::function<void(uint64_t pages)> skip;
    int64_t wait_ms = 100;
  };

  explicit LinkPageSink(wire::SourceLink& link) : link_(link) {}
  LinkPageSink(wire::SourceLink& link, Watch watch) : link_(link), watch_(std::move(watch)) {}

  std::span<std::byte> acquire() override {
    while (buffer_.data() == nullptr) {
      buffer_ = link_.acquire(watch_.look ? Deadline::in_ms(watch_.wait_ms) : Deadline::never());
      if (watch_.look) watch_.look();
    }
    return buffer_.span();
  }
  void put(PageSpace space, std::vector<PageRange> ranges) override {
    link_.send_pages(space, std::move(ranges), std::exchange(buffer_, wire::PageBuffer()));
  }
  void skip(uint64_t pages) override {
    if (watch_.skip) watch_.skip(pages);
  }

 private:
  wire::SourceLink& link_;
  Watch watch_;
  wire::PageBuffer buffer_;
};

}  // namespace crx
