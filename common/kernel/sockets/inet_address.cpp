#include "common/kernel/sockets/inet_address.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>

#include <cerrno>
#include <cstring>

#include "common/base/error.hpp"
#include "common/base/fd.hpp"

namespace crx {
namespace {

bool is_mapped(const InetAddress& address) {
  return address.family == AF_INET6 && address.words[0] == 0 && address.words[1] == 0 &&
         address.words[2] == htonl(0xffff);
}

}  // namespace

bool InetAddress::is_any() const noexcept {
  return plain().words == std::array<uint32_t, 4>{};
}

bool InetAddress::is_loopback() const noexcept {
  const InetAddress it = plain();
  if (it.family == AF_INET) return (ntohl(it.words[0]) >> 24) == 127;
  return it.words == std::array<uint32_t, 4>{0, 0, 0, htonl(1)};
}

bool InetAddress::is_multicast() const noexcept {
  const InetAddress it = plain();
  const uint32_t first = ntohl(it.words[0]);
  return it.family == AF_INET ? (first >> 28) == 14 : (first >> 24) == 0xff;
}

InetAddress InetAddress::plain() const noexcept {
  InetAddress it = *this;
  it.scope_id = 0;
  if (is_mapped(*this)) {
    it.family = AF_INET;
    it.words = {words[3], 0, 0, 0};
  }
  return it;
}

std::string InetAddress::host_text() const {
  char name[INET6_ADDRSTRLEN] = {};
  ::inet_ntop(family, words.data(), name, sizeof name);
  return name;
}

std::string InetAddress::text() const {
  return family == AF_INET ? fmt::format("{}:{}", host_text(), port) : fmt::format("[{}]:{}", host_text(), port);
}

std::string InetAddress::raw() const {
  return std::string(reinterpret_cast<const char*>(words.data()), bytes());
}

InetAddress InetAddress::from_raw(const std::string& bytes, uint16_t port) {
  if (bytes.size() != 4 && bytes.size() != 16) {
    throw Error(ErrorCode::corrupt_image, "reading an address", fmt::format("it has {} bytes", bytes.size()));
  }
  InetAddress address;
  address.family = bytes.size() == 4 ? AF_INET : AF_INET6;
  std::memcpy(address.words.data(), bytes.data(), bytes.size());
  address.port = port;
  return address;
}

SocketAddress to_socket_address(const InetAddress& address) {
  SocketAddress to;
  if (address.family == AF_INET) {
    sockaddr_in in{};
    in.sin_family = AF_INET;
    in.sin_port = htons(address.port);
    in.sin_addr.s_addr = address.words[0];
    std::memcpy(&to.storage, &in, sizeof in);
    to.length = sizeof in;
  } else {
    sockaddr_in6 in{};
    in.sin6_family = AF_INET6;
    in.sin6_port = htons(address.port);
    std::memcpy(&in.sin6_addr, address.words.data(), 16);
    in.sin6_scope_id = address.scope_id;
    std::memcpy(&to.storage, &in, sizeof in);
    to.length = sizeof in;
  }
  return to;
}

std::optional<InetAddress> from_socket_address(const sockaddr_storage& storage) {
  InetAddress address;
  if (storage.ss_family == AF_INET) {
    sockaddr_in in{};
    std::memcpy(&in, &storage, sizeof in);
    address.words[0] = in.sin_addr.s_addr;
    address.port = ntohs(in.sin_port);
  } else if (storage.ss_family == AF_INET6) {
    sockaddr_in6 in{};
    std::memcpy(&in, &storage, sizeof in);
    address.family = AF_INET6;
    std::memcpy(address.words.data(), &in.sin6_addr, 16);
    address.port = ntohs(in.sin6_port);
    address.scope_id = in.sin6_scope_id;
  } else {
    return std::nullopt;
  }
  return address;
}

InetAddress local_address(int fd, const std::string& object) {
  sockaddr_storage storage{};
  socklen_t length = sizeof storage;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&storage), &length) != 0) throw_errno("reading an address", object);
  const auto address = from_socket_address(storage);
  if (!address) throw Error(ErrorCode::bug, "reading an address", object + " has no IPv4 or IPv6 address");
  return *address;
}

std::optional<InetAddress> peer_address(int fd) {
  sockaddr_storage storage{};
  socklen_t length = sizeof storage;
  if (::getpeername(fd, reinterpret_cast<sockaddr*>(&storage), &length) != 0) return std::nullopt;
  return from_socket_address(storage);
}

bool is_local_address(const InetAddress& address) {
  const InetAddress it = address.plain();
  if (it.is_any() || it.is_loopback()) return true;
  const Fd probe(::socket(it.family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!probe) return false;
  InetAddress unbound = address.family == it.family ? address : it;
  unbound.port = 0;
  const SocketAddress to = to_socket_address(unbound);
  return ::bind(probe.get(), to.get(), to.length) == 0 || errno != EADDRNOTAVAIL;
}

}  // namespace crx
