// What the kernel knows about why a TCP connection waits.
#pragma once

#include <cstdint>
#include <string>

namespace crx::wire {

struct NetworkState {
  // Microseconds since the connection was made in which data was under way and neither the peer's window nor
  // our send buffer was the limit: tcp_info's busy_time less rwnd_limited and sndbuf_limited (Linux 4.9). 0
  // where unknown, and for a connection to this very host, which has no network.
  int64_t limited_us = 0;
  // The kernel's newest estimate of what the network carries (tcpi_delivery_rate).
  uint64_t bytes_per_second = 0;
  // The smallest round trip seen (tcpi_min_rtt, Linux 4.6); INT64_MAX where unknown.
  int64_t min_rtt_us = INT64_MAX;
  // Its name, as in tcp_congestion_control of tcp(7); empty where unknown.
  std::string congestion_control;
};
NetworkState network_state(int tcp_fd);

}  // namespace crx::wire
