// Addresses of IPv4 and IPv6 sockets.
#pragma once

#include <sys/socket.h>

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>

namespace crx {

// An address and port of AF_INET or AF_INET6. words: in network byte order, as in CRIU's images; IPv4 uses only the
// first.
struct InetAddress {
  int family = AF_INET;
  std::array<uint32_t, 4> words{};
  uint16_t port = 0;      // host byte order
  uint32_t scope_id = 0;  // interface index of a link-local address

  auto operator<=>(const InetAddress&) const = default;

  bool is_any() const noexcept;
  bool is_loopback() const noexcept;
  bool is_multicast() const noexcept;
  // Converts ::ffff:a.b.c.d to a.b.c.d, so that the addresses of both ends of a connection compare equal; drops the
  // scope.
  InetAddress plain() const noexcept;
  std::size_t bytes() const noexcept { return family == AF_INET ? 4 : 16; }
  // "10.0.0.1:80", "[::1]:80"
  std::string text() const;
  // "10.0.0.1", "::1"
  std::string host_text() const;
  // The plain bytes of the address, and the inverse, which throws Error(corrupt_image) for any other length.
  std::string raw() const;
  static InetAddress from_raw(const std::string& bytes, uint16_t port);
};

// A socket address in the form that bind(2) and the like take.
struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t length = 0;
  const sockaddr* get() const noexcept { return reinterpret_cast<const sockaddr*>(&storage); }
};
SocketAddress to_socket_address(const InetAddress& address);
// nullopt for other address families.
std::optional<InetAddress> from_socket_address(const sockaddr_storage& storage);

// getsockname(2) and getpeername(2). `object` is used in the error. peer_address is nullopt when the socket is not
// connected.
InetAddress local_address(int fd, const std::string& object);
std::optional<InetAddress> peer_address(int fd);

// Whether an interface of this network namespace has the address.
bool is_local_address(const InetAddress& address);

}  // namespace crx
