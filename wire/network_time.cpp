#include "wire/network_time.hpp"

#include <linux/tcp.h>  // glibc's tcp_info ends before these fields
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstddef>

namespace crx::wire {

int64_t network_limited_us(int tcp_fd) {
  tcp_info info{};
  socklen_t length = sizeof info;
  if (::getsockopt(tcp_fd, IPPROTO_TCP, TCP_INFO, &info, &length) != 0) return 0;
  if (length < offsetof(tcp_info, tcpi_sndbuf_limited) + sizeof info.tcpi_sndbuf_limited) return 0;
  const auto limited = static_cast<int64_t>(info.tcpi_rwnd_limited) + static_cast<int64_t>(info.tcpi_sndbuf_limited);
  const int64_t us = static_cast<int64_t>(info.tcpi_busy_time) - limited;
  return us > 0 ? us : 0;
}

}  // namespace crx::wire
