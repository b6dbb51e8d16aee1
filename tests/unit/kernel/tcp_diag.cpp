// TCP sockets as sock_diag(7) reports them.
#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>

#include "common/base/fd.hpp"
#include "common/kernel/sockets/tcp_diag.hpp"
#include "common/kernel/sockets/tcp_repair.hpp"

namespace crx {
namespace {

constexpr uint32_t kListening = 1U << tcp_state::kListen;

uint32_t inode_of(const Fd& fd) {
  struct stat st {};
  REQUIRE(::fstat(fd.get(), &st) == 0);
  return static_cast<uint32_t>(st.st_ino);
}

Fd listening(int family) {
  Fd listener(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  InetAddress here;
  here.family = family;
  here.words = family == AF_INET ? std::array<uint32_t, 4>{htonl(INADDR_LOOPBACK)} : std::array<uint32_t, 4>{};
  const SocketAddress any = to_socket_address(here);
  REQUIRE(::bind(listener.get(), any.get(), any.length) == 0);
  REQUIRE(::listen(listener.get(), 4) == 0);
  return listener;
}

// Connects an IPv4 client.
Fd connected_to(const Fd& listener) {
  InetAddress at;
  at.words[0] = htonl(INADDR_LOOPBACK);
  at.port = local_address(listener.get(), "the listener").port;
  const SocketAddress address = to_socket_address(at);
  Fd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  REQUIRE(::connect(client.get(), address.get(), address.length) == 0);
  return client;
}

const TcpSocketInfo* with_inode(const std::optional<std::vector<TcpSocketInfo>>& all, uint32_t inode) {
  REQUIRE(all.has_value());
  const auto found =
      std::find_if(all->begin(), all->end(), [&](const TcpSocketInfo& info) { return info.inode == inode; });
  return found == all->end() ? nullptr : &*found;
}

}  // namespace

TEST_CASE("both ends of a connection are found by their addresses, before and after it is accepted") {
  for (const int family : {AF_INET, AF_INET6}) {  // the end of IPv6 has mapped addresses
    const Fd listener = listening(family);
    const Fd client = connected_to(listener);
    REQUIRE(::send(client.get(), "hello", 5, 0) == 5);
    const InetAddress from = local_address(client.get(), "the client"), to = *peer_address(client.get());
    TcpDiag diag;
    const auto near = diag.find(from, to);
    REQUIRE(near.has_value());
    CHECK(near->inode == inode_of(client));
    const auto waiting = diag.find(to, from);
    REQUIRE(waiting.has_value());
    CHECK(waiting->inode == 0);
    CHECK(waiting->received == 5);
    CHECK(waiting->state == tcp_state::kEstablished);
    CHECK_FALSE(waiting->signs);
    const Fd server(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    CHECK(diag.find(to, from)->inode == inode_of(server));
    const auto listed = diag.list(~kListening);
    REQUIRE(with_inode(listed, inode_of(server)) != nullptr);
    CHECK(with_inode(listed, inode_of(server))->local == to.plain());
    CHECK(with_inode(listed, inode_of(listener)) == nullptr);
  }
}

TEST_CASE("a listening socket is not mistaken for a connection, and shows its unaccepted connections") {
  const Fd listener = listening(AF_INET);
  const InetAddress at = local_address(listener.get(), "the listener");
  InetAddress nobody = at;
  nobody.port = 1;
  TcpDiag diag;
  CHECK_FALSE(diag.find(at, nobody).has_value());
  CHECK(with_inode(diag.list(kListening), inode_of(listener))->received == 0);
  const Fd first = connected_to(listener), second = connected_to(listener);
  const auto full = diag.list(kListening);
  REQUIRE(with_inode(full, inode_of(listener)) != nullptr);
  CHECK(with_inode(full, inode_of(listener))->received == 2);
}

TEST_CASE("sockets with MD5 keys are known by them") {
  const Fd listener = listening(AF_INET);
  tcp_md5sig key{};
  const InetAddress peer = local_address(listener.get(), "the listener");
  const SocketAddress address = to_socket_address(peer);
  std::memcpy(&key.tcpm_addr, &address.storage, sizeof key.tcpm_addr);
  key.tcpm_keylen = 6;
  std::memcpy(key.tcpm_key, "secret", 6);
  if (::setsockopt(listener.get(), IPPROTO_TCP, TCP_MD5SIG, &key, sizeof key) != 0)
    return;  // a kernel without TCP_MD5SIG
  TcpDiag diag;
  CHECK(with_inode(diag.list(kListening), inode_of(listener))->signs);
  const Fd other = listening(AF_INET);
  CHECK_FALSE(with_inode(diag.list(kListening), inode_of(other))->signs);
}

}  // namespace crx
