// --compress auto: whether compressing makes the transfer faster right now.
#pragma once

#include <cstdint>

namespace crx::wire {

// What happened since the last look.
struct TransferWindow {
  int64_t us = 0;          // its length
  int64_t network_us = 0;  // how long the connections waited for the network (not for the peer, not for us)
  uint64_t network_bytes_per_second = 0;  // what the network carries, by the kernel's estimate
  bool source_waited = false;             // the engine had to wait for a free buffer
  bool paced = false;                     // --max-bandwidth held it back
  uint64_t bytes_wire = 0;
};

// What compressing does to these pages, from a sample or from what was really compressed.
struct CompressionYield {
  uint64_t bytes_in = 0, bytes_out = 0;
  uint64_t busy_ns = 0;  // of one thread
};

// Pure logic. Off until the network (or the pacing) is what everybody waits for and the pool can compress
// faster than it carries; off again when the pages do not get smaller or the pool becomes what everybody
// waits for.
class CompressionAdvisor {
 public:
  explicit CompressionAdvisor(unsigned threads) : threads_(threads) {}
  // True: a sample would help decide(); only then is one needed.
  bool wants_sample(const TransferWindow& window) const;
  void decide(const TransferWindow& window, const CompressionYield& yield);
  bool on() const { return on_; }

 private:
  unsigned threads_;
  bool on_ = false;
};

}  // namespace crx::wire
