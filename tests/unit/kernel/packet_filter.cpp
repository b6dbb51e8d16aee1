#include "common/kernel/sockets/packet_filter.hpp"

#include <doctest/doctest.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <string>
#include <thread>
#include <vector>

#include "common/base/fd.hpp"

namespace crx {
namespace {

// Runs `body` in a thread with a network namespace of its own, whose loopback is up.
template <typename Body>
void in_own_network(const Body& body) {
  std::thread([&] {
    REQUIRE(::unshare(CLONE_NEWNET) == 0);
    const Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    ifreq lo = {};
    lo.ifr_name[0] = 'l';
    lo.ifr_name[1] = 'o';
    lo.ifr_flags = IFF_UP;
    REQUIRE(::ioctl(socket.get(), SIOCSIFFLAGS, &lo) == 0);
    body();
  }).join();
}

struct Connection {
  Fd client, server;
  ConnectionEnds ends;
};

Connection connect_loopback(int family) {
  InetAddress loopback;
  loopback.family = family;
  if (family == AF_INET) {
    loopback.words[0] = htonl(INADDR_LOOPBACK);
  } else {
    loopback.words[3] = htonl(1);
  }
  const Fd listener(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const SocketAddress any = to_socket_address(loopback);
  REQUIRE(::bind(listener.get(), any.get(), any.length) == 0);
  REQUIRE(::listen(listener.get(), 1) == 0);
  const SocketAddress bound = to_socket_address(local_address(listener.get(), "listener"));
  Connection made;
  made.client = Fd(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  REQUIRE(::connect(made.client.get(), bound.get(), bound.length) == 0);
  made.server = Fd(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  made.ends = {local_address(made.client.get(), "client").plain(), peer_address(made.client.get())->plain()};
  return made;
}

bool arrives(const Connection& connection, int wait_ms) {
  REQUIRE(::send(connection.client.get(), "x", 1, MSG_NOSIGNAL) == 1);
  pollfd readable = {connection.server.get(), POLLIN, 0};
  return ::poll(&readable, 1, wait_ms) == 1;
}

}  // namespace

TEST_CASE("the packets of a connection in a table are dropped until the table is removed") {
  for (const int family : {AF_INET, AF_INET6}) {
    in_own_network([family] {
      const Connection held = connect_loopback(family), other = connect_loopback(family);
      PacketFilter filter;
      filter.make_table("crx-test", PacketFilter::Lifetime::permanent);
      filter.add("crx-test", std::vector{held.ends});
      CHECK_FALSE(arrives(held, 100));
      CHECK(arrives(other, 5000));
      CHECK(filter.remove_table("crx-test"));
      CHECK(arrives(held, 5000));
      CHECK_FALSE(filter.remove_table("crx-test"));
    });
  }
}

TEST_CASE("the kernel removes an owned table with the socket that made it, and keeps a permanent one") {
  in_own_network([] {
    {
      PacketFilter filter;
      filter.make_table("crx-owned", PacketFilter::Lifetime::owned);
      filter.make_table("crx-kept", PacketFilter::Lifetime::permanent);
    }
    PacketFilter filter;
    CHECK_FALSE(filter.remove_table("crx-owned"));
    CHECK(filter.remove_table("crx-kept"));
  });
}

TEST_CASE("a table holds ten thousand connections") {
  in_own_network([] {
    std::vector<ConnectionEnds> ends(10'000);
    for (std::size_t i = 0; i < ends.size(); ++i) {
      ends[i].local.words[0] = htonl(static_cast<uint32_t>(0x0a000000 + i));
      ends[i].local.port = 80;
      ends[i].peer.words[0] = htonl(0x7f000001);
      ends[i].peer.port = 1024;
    }
    const Connection held = connect_loopback(AF_INET);
    ends.push_back(held.ends);
    PacketFilter filter;
    filter.make_table("crx-many", PacketFilter::Lifetime::owned);
    filter.add("crx-many", ends);
    CHECK_FALSE(arrives(held, 100));
  });
}

}  // namespace crx
