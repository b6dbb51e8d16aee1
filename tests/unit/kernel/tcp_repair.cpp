// A connection's state is read without any trace, and restored on other sockets. Needs CAP_NET_ADMIN.
#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <string>

#include "common/base/error.hpp"
#include "common/base/fd.hpp"
#include "common/kernel/sockets/inet_options.hpp"
#include "common/kernel/sockets/tcp_repair.hpp"

namespace crx {
namespace {

struct Pair {
  Fd client, server;
};

Pair connected_pair() {
  const Fd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  InetAddress here;
  here.words[0] = htonl(INADDR_LOOPBACK);
  const SocketAddress any = to_socket_address(here);
  REQUIRE(::bind(listener.get(), any.get(), any.length) == 0);
  REQUIRE(::listen(listener.get(), 1) == 0);
  const SocketAddress at = to_socket_address(local_address(listener.get(), "the listener"));
  Pair pair;
  pair.client.reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  REQUIRE(::connect(pair.client.get(), at.get(), at.length) == 0);
  pair.server.reset(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  REQUIRE(pair.server);
  return pair;
}

std::string receive(int fd, std::size_t length) {
  std::string text(length, '\0');
  pollfd poll{fd, POLLIN, 0};
  std::size_t have = 0;
  while (have < length && ::poll(&poll, 1, 5000) == 1) {
    const ssize_t got = ::recv(fd, text.data() + have, length - have, MSG_DONTWAIT);
    if (got <= 0) break;
    have += static_cast<std::size_t>(got);
  }
  text.resize(have);
  return text;
}

void send_text(int fd, const std::string& text) {
  REQUIRE(::send(fd, text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size()));
}

Fd made_again(const TcpStream& stream, const InetAddress& local, const InetAddress& peer) {
  Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  enter_repair(fd.get(), "a test");
  const SocketAddress at = to_socket_address(local);
  REQUIRE(::bind(fd.get(), at.get(), at.length) == 0);
  make_stream(fd.get(), stream, peer, "a test");
  return fd;
}

}  // namespace

TEST_CASE("reading a connection changes nothing") {
  const Pair pair = connected_pair();
  const int on = 1;
  REQUIRE(::setsockopt(pair.server.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0);
  send_text(pair.client.get(), "hello");
  const TcpStream first = read_stream(pair.server.get(), "a test");
  const TcpStream second = read_stream(pair.server.get(), "a test");
  CHECK(first.inq == "hello");
  CHECK(first.outq.empty());
  CHECK(first.state == tcp_state::kEstablished);
  CHECK(second.inq == first.inq);
  CHECK(second.inq_seq == first.inq_seq);
  CHECK(second.outq_seq == first.outq_seq);
  int reuse = 0;
  socklen_t length = sizeof reuse;
  REQUIRE(::getsockopt(pair.server.get(), SOL_SOCKET, SO_REUSEADDR, &reuse, &length) == 0);
  CHECK(reuse == 1);
  CHECK(receive(pair.server.get(), 5) == "hello");
  send_text(pair.server.get(), "back");
  CHECK(receive(pair.client.get(), 4) == "back");
}

TEST_CASE("a FIN counts in no queue") {
  const Pair pair = connected_pair();
  send_text(pair.client.get(), "last");
  REQUIRE(::shutdown(pair.client.get(), SHUT_WR) == 0);
  pollfd poll{pair.server.get(), POLLRDHUP, 0};
  REQUIRE(::poll(&poll, 1, 5000) == 1);
  const TcpStream client = read_stream(pair.client.get(), "a test"), server = read_stream(pair.server.get(), "a test");
  CHECK(server.state == tcp_state::kCloseWait);
  CHECK(server.inq == "last");
  CHECK(tcp_state::sent_fin(client.state));
  CHECK(client.outq_seq == server.inq_seq);
  CHECK(client.inq_seq == server.outq_seq);
}

TEST_CASE("a connection goes on between other sockets") {
  Pair pair = connected_pair();
  send_text(pair.client.get(), "there");
  send_text(pair.server.get(), "and back");
  const InetAddress a = local_address(pair.client.get(), "a"), b = local_address(pair.server.get(), "b");
  const TcpStream client = read_stream(pair.client.get(), "a"), server = read_stream(pair.server.get(), "b");
  for (Fd* fd : {&pair.client, &pair.server}) {
    enter_repair(fd->get(), "a test");  // so that they close without a packet
    fd->reset();
  }
  const Fd new_client = made_again(client, a, b), new_server = made_again(server, b, a);
  for (const Fd* fd : {&new_client, &new_server}) leave_repair(fd->get(), false, "a test");
  for (const Fd* fd : {&new_client, &new_server}) leave_repair(fd->get(), true, "a test");
  CHECK(receive(new_server.get(), 5) == "there");
  CHECK(receive(new_client.get(), 8) == "and back");
  send_text(new_client.get(), "more");
  CHECK(receive(new_server.get(), 4) == "more");
}

TEST_CASE("addresses") {
  InetAddress mapped;
  mapped.family = AF_INET6;
  REQUIRE(::inet_pton(AF_INET6, "::ffff:10.1.2.3", mapped.words.data()) == 1);
  mapped.port = 80;
  CHECK(mapped.plain().text() == "10.1.2.3:80");
  CHECK(InetAddress::from_raw(mapped.raw(), 80) == mapped);
  CHECK_THROWS_AS(InetAddress::from_raw("abc", 1), Error);
  InetAddress six;
  six.family = AF_INET6;
  CHECK(six.is_any());
  six.words[3] = htonl(1);
  CHECK(six.is_loopback());
  CHECK(six.text() == "[::1]:0");
  CHECK(is_local_address(six));
  CHECK_FALSE(is_local_address(InetAddress::from_raw(std::string("\xc0\x00\x02\x01", 4), 0)));  // 192.0.2.1
}

TEST_CASE("only options that were set differ from those of a new socket") {
  const Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  InetOptionReader reader;
  CHECK(reader.read(fd.get(), false).empty());
  const int on = 1;
  REQUIRE(::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0);
  const auto values = reader.read(fd.get(), false);
  REQUIRE(values.size() == 1);
  CHECK(values[0].option->name == TCP_NODELAY);
  const Fd other(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  set_inet_option(other.get(), *values[0].option, values[0].value, "a test");
  CHECK(reader.read(other.get(), false).size() == 1);
  CHECK_THROWS_AS(set_inet_option(other.get(), *values[0].option, "too long for an int", "a test"), Error);
}

}  // namespace crx
