// The PageSink that sends pages over the connections of a migration.
#pragma once

#include <utility>
#include <vector>

#include "agent-src/memory/page_sink.hpp"
#include "wire/link.hpp"

namespace crx {

// Borrows the link, which must outlive it. acquire() blocks while all buffers of the link are in use.
class LinkPageSink final : public PageSink {
 public:
  explicit LinkPageSink(wire::SourceLink& link) : link_(link) {}
  std::span<std::byte> acquire() override {
    if (buffer_.data() == nullptr) buffer_ = link_.acquire();
    return buffer_.span();
  }
  void put(PageSpace space, std::vector<PageRange> ranges) override {
    link_.send_pages(space, std::move(ranges), std::exchange(buffer_, wire::PageBuffer()));
  }

 private:
  wire::SourceLink& link_;
  wire::PageBuffer buffer_;
};

}  // namespace crx
