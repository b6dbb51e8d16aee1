// What the kernel knows about why a TCP connection waits.
#pragma once

#include <cstdint>

namespace crx::wire {

// Microseconds since the connection was made in which data was under way and neither the peer's window nor our
// send buffer was the limit: tcp_info's busy_time less rwnd_limited and sndbuf_limited (Linux 4.9). 0 where unknown.
int64_t network_limited_us(int tcp_fd);

}  // namespace crx::wire
