// The kernel's statistics on what a TCP connection waits for.
#pragma once

#include <cstdint>
#include <string>

namespace crx::wire {

struct NetworkState {
  // Microseconds since the connection was established during which data was in flight and neither the peer's window nor
  // our send buffer was the limit: tcp_info's busy_time minus rwnd_limited and sndbuf_limited (Linux 4.9). 0 if
  // unknown, and for a connection within the same host, which involves no network.
  int64_t limited_us = 0;
  // The kernel's latest estimate of the network's throughput (tcpi_delivery_rate).
  uint64_t bytes_per_second = 0;
  // The smallest round trip seen (tcpi_min_rtt, Linux 4.6); INT64_MAX if unknown.
  int64_t min_rtt_us = INT64_MAX;
  // The congestion control's name, as in tcp_congestion_control of tcp(7); empty if unknown.
  std::string congestion_control;
};
NetworkState network_state(int tcp_fd);

}  // namespace crx::wire
