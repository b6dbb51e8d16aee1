#include "wire/connection/congestion.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <array>
#include <cstring>

namespace crx::wire {
namespace {

constexpr int64_t kWithinSiteUs = 1000;
constexpr std::size_t kNameBytes = 16;  // TCP_CA_NAME_MAX

}  // namespace

std::string_view better_congestion_control(std::string_view current, int64_t min_rtt_us) {
  if (current != "bbr" || min_rtt_us >= kWithinSiteUs) return {};
  return "reno";  // every kernel has it
}

std::string congestion_control(int tcp_fd) {
  std::array<char, kNameBytes> name{};
  socklen_t length = name.size();
  if (::getsockopt(tcp_fd, IPPROTO_TCP, TCP_CONGESTION, name.data(), &length) != 0) return {};
  return {name.data(), ::strnlen(name.data(), name.size())};
}

void ask_congestion_control(int tcp_fd, std::string_view name) noexcept {
  if (name.empty()) return;
  (void)::setsockopt(tcp_fd, IPPROTO_TCP, TCP_CONGESTION, name.data(), static_cast<socklen_t>(name.size()));
}

}  // namespace crx::wire
