// --compress auto: decides whether compression makes the transfer faster at the moment.
#pragma once

#include <cstdint>

namespace crx::wire {

// Measurements since the last decision.
struct TransferWindow {
  int64_t us = 0;          // length of the window
  int64_t network_us = 0;  // time in which the connections waited for the network (not for the peer, not for us)
  uint64_t network_bytes_per_second = 0;  // throughput of the network, as the kernel estimates it
  bool source_waited = false;             // the engine had to wait for a free buffer
  bool paced = false;                     // --max-bandwidth delayed the transfer
  uint64_t bytes_wire = 0;
};

// The result of compressing these pages, from a sample or from the pages that were compressed.
struct CompressionYield {
  uint64_t bytes_in = 0, bytes_out = 0;
  uint64_t busy_ns = 0;  // CPU time of one thread
};

// Pure logic. Switches compression on when the network (or the pacing) is the bottleneck and the pool can compress
// faster than the network carries; off when pages do not get smaller or the pool becomes the bottleneck.
class CompressionAdvisor {
 public:
  explicit CompressionAdvisor(unsigned threads) : threads_(threads) {}
  // True if decide() needs a sample.
  bool wants_sample(const TransferWindow& window) const;
  void decide(const TransferWindow& window, const CompressionYield& yield);
  bool on() const { return on_; }

 private:
  unsigned threads_;
  bool on_ = false;
};

}  // namespace crx::wire
