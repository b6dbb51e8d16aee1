#include "agent-dst/front/limits.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstring>
#include <string_view>

#include "wire/limits.hpp"

namespace crx::front {
namespace {

constexpr std::size_t kFewestOfOwner = 64;
constexpr std::size_t kFewestProcesses = 32;
constexpr std::size_t kSessionConnections = 1 + wire::kMaxStreams;
constexpr std::size_t kSessionDescriptors = 8;
constexpr std::size_t kOwnDescriptors = 64;  // listeners, the supervisor, the metrics pages
constexpr std::size_t kIpv4Bytes = 4, kNetworkBytes = 8;

sockaddr_in6 as_six(const sockaddr_storage& address) {
  sockaddr_in6 six{};
  std::memcpy(&six, &address, sizeof six);
  return six;
}

// The address in network order.
std::string_view bytes_of(const sockaddr_storage& address, const sockaddr_in6& six) {
  if (address.ss_family == AF_INET) {
    const auto* four = reinterpret_cast<const sockaddr_in*>(&address);
    return {reinterpret_cast<const char*>(&four->sin_addr), kIpv4Bytes};
  }
  const std::string_view all(reinterpret_cast<const char*>(&six.sin6_addr), sizeof six.sin6_addr);
  return IN6_IS_ADDR_V4MAPPED(&six.sin6_addr) ? all.substr(all.size() - kIpv4Bytes) : all;
}

}  // namespace

std::size_t max_of_owner(unsigned max_sessions) {
  return std::max(kFewestOfOwner, max_sessions * kSessionConnections);
}

std::size_t max_processes_of_owner(unsigned max_sessions) {
  return std::max(kFewestProcesses, std::size_t{2} * max_sessions);
}

std::string owner_of(const sockaddr_storage& address) {
  const sockaddr_in6 six = as_six(address);
  const std::string_view bytes = bytes_of(address, six);
  return std::string(bytes.substr(0, kNetworkBytes));
}

std::string address_text(const sockaddr_storage& address) {
  const sockaddr_in6 six = as_six(address);
  const std::string_view bytes = bytes_of(address, six);
  const bool is_four = bytes.size() == kIpv4Bytes;
  const auto port =
      ntohs(address.ss_family == AF_INET ? reinterpret_cast<const sockaddr_in*>(&address)->sin_port : six.sin6_port);
  char text[INET6_ADDRSTRLEN] = "?";
  (void)::inet_ntop(is_four ? AF_INET : AF_INET6, bytes.data(), text, sizeof text);
  return is_four ? fmt::format("{}:{}", text, port) : fmt::format("[{}]:{}", text, port);
}

void allow_descriptors(unsigned max_sessions) {
  const rlim_t count = 4 * max_of_owner(max_sessions) + max_sessions * kSessionDescriptors + kOwnDescriptors;
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= count) return;
  limit.rlim_cur = std::min(count, limit.rlim_max);
  (void)::setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace crx::front
