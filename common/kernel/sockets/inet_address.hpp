// Addresses of IPv4 and IPv6 sockets.
#pragma once

#include <sys/socket.h>

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>

namespace crx {

// An address and port of AF_INET or AF_INET6. words: in network order, as CRIU's images hold them; IPv4 uses the first.
struct InetAddress {
  int family = AF_INET;
  std::array<uint32_t, 4> words{};
  uint16_t port = 0;      // host order
  uint32_t scope_id = 0;  // interface of a link-local address

  auto operator<=>(const InetAddress&) const = default;

  bool is_any() const noexcept;
  bool is_loopback() const noexcept;
  bool is_multicast() const noexcept;
  // ::ffff:a.b.c.d becomes a.b.c.d, so that both ends of a connection compare; the scope is dropped.
  InetAddress plain() const noexcept;
  std::size_t bytes() const noexcept { return family == AF_INET ? 4 : 16; }
  // "10.0.0.1:80", "[::1]:80"
  std::string text() const;
  // "10.0.0.1", "::1"
  std::string host_text() const;
  // The bare bytes of the address, and back; Error(corrupt_image) for another length.
  std::string raw() const;
  static InetAddress from_raw(const std::string& bytes, uint16_t port);
};

// For bind(2) and the like.
struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t length = 0;
  const sockaddr* get() const noexcept { return reinterpret_cast<const sockaddr*>(&storage); }
};
SocketAddress to_socket_address(const InetAddress& address);
// Nothing for other families.
std::optional<InetAddress> from_socket_address(const sockaddr_storage& storage);

// getsockname(2), getpeername(2). Nothing where the socket is not connected.
InetAddress local_address(int fd, const std::string& object);
std::optional<InetAddress> peer_address(int fd);

// Whether the address belongs to an interface of this network namespace.
bool is_local_address(const InetAddress& address);

}  // namespace crx
