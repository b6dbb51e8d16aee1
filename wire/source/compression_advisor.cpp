#include "wire/source/compression_advisor.hpp"

namespace crx::wire {
namespace {

// A wrong change costs more than a missed one, so a change must promise a gain of a quarter.
constexpr double kWorthwhile = 1.25;

// Whether the network is the limit. A network that is the limit can carry hardly more than what was sent; one that only
// seemed busy, because a host was slow to acknowledge, can carry much more.
bool network_bound(const TransferWindow& window) {
  if (!window.source_waited) return false;
  if (window.paced) return true;
  const double sent = static_cast<double>(window.bytes_wire) * 1e6 / static_cast<double>(window.us);
  return window.network_us * 2 > window.us && static_cast<double>(window.network_bytes_per_second) < 2 * sent;
}

}  // namespace

bool CompressionAdvisor::wants_sample(const TransferWindow& window) const {
  return !on_ && network_bound(window);
}

void CompressionAdvisor::decide(const TransferWindow& window, const CompressionYield& yield) {
  if (yield.bytes_in == 0 || yield.busy_ns == 0 || window.us <= 0) return;
  const double ratio = static_cast<double>(yield.bytes_out) / static_cast<double>(yield.bytes_in);
  const double pool = static_cast<double>(yield.bytes_in) * 1e9 / static_cast<double>(yield.busy_ns) * threads_;
  const double wire = static_cast<double>(window.bytes_wire) * 1e6 / static_cast<double>(window.us);
  if (on_) {
    // Compression is switched off when the link is idle while the pool is busy, or when uncompressed pages would be as
    // fast.
    const bool pool_bound = !window.paced && window.source_waited && window.network_us * 4 < window.us;
    if (ratio * kWorthwhile > 1.0 || pool_bound) on_ = false;
    return;
  }
  if (!network_bound(window)) return;
  const double compressed = pool < wire / ratio ? pool : wire / ratio;
  on_ = compressed > wire * kWorthwhile;
}

}  // namespace crx::wire
