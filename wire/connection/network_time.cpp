#include "wire/connection/network_time.hpp"

#include <linux/tcp.h>  // the tcp_info of glibc ends before these fields
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstddef>
#include <cstring>

#include "wire/connection/congestion.hpp"

namespace crx::wire {
namespace {

bool same_host(int fd) {
  sockaddr_storage here{}, there{};
  socklen_t here_length = sizeof here, there_length = sizeof there;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&here), &here_length) != 0 ||
      ::getpeername(fd, reinterpret_cast<sockaddr*>(&there), &there_length) != 0 || here.ss_family != there.ss_family) {
    return false;
  }
  if (here.ss_family == AF_INET) {
    return reinterpret_cast<const sockaddr_in&>(here).sin_addr.s_addr ==
           reinterpret_cast<const sockaddr_in&>(there).sin_addr.s_addr;
  }
  return std::memcmp(&reinterpret_cast<const sockaddr_in6&>(here).sin6_addr,
                     &reinterpret_cast<const sockaddr_in6&>(there).sin6_addr, sizeof(in6_addr)) == 0;
}

}  // namespace

NetworkState network_state(int tcp_fd) {
  tcp_info info{};
  socklen_t length = sizeof info;
  NetworkState state;
  if (::getsockopt(tcp_fd, IPPROTO_TCP, TCP_INFO, &info, &length) != 0) return state;
  if (length < offsetof(tcp_info, tcpi_sndbuf_limited) + sizeof info.tcpi_sndbuf_limited) return state;
  state.bytes_per_second = info.tcpi_delivery_rate;
  state.min_rtt_us = info.tcpi_min_rtt;
  state.congestion_control = congestion_control(tcp_fd);
  const auto limited = static_cast<int64_t>(info.tcpi_rwnd_limited) + static_cast<int64_t>(info.tcpi_sndbuf_limited);
  const int64_t us = static_cast<int64_t>(info.tcpi_busy_time) - limited;
  if (us > 0 && !same_host(tcp_fd)) state.limited_us = us;
  return state;
}

}  // namespace crx::wire
