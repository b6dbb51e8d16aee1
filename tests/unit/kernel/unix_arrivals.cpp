#include <doctest/doctest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <optional>
#include <string>

#include "common/base/fd.hpp"
#include "common/kernel/introspect/unix_arrivals.hpp"

namespace crx {
namespace {

struct Listener {
  Fd fd{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  sockaddr_un address{};
  socklen_t length = sizeof address;

  Listener() {
    address.sun_family = AF_UNIX;
    REQUIRE(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(sa_family_t)) == 0);
    REQUIRE(::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &length) == 0);
    REQUIRE(::listen(fd.get(), 8) == 0);
  }
  Fd connected() const {
    Fd client(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(::connect(client.get(), reinterpret_cast<const sockaddr*>(&address), length) == 0);
    return client;
  }
};

void pass(int over, int passed) {
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  char byte = 'x';
  iovec part{&byte, 1};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  *reinterpret_cast<int*>(CMSG_DATA(header)) = passed;
  REQUIRE(::sendmsg(over, &message, 0) == 1);
}

}  // namespace

TEST_CASE("kernel.unix_arrivals: data that was sent over unaccepted connections") {
  const std::optional<UnacceptedReader> unaccepted = UnacceptedReader::open();
  if (!unaccepted) return;  // this kernel, or these privileges, do not allow it
  const Listener listener;
  CHECK(unaccepted->at(listener.fd.get())->empty());
  const Fd first = listener.connected();
  Fd second = listener.connected();
  REQUIRE(::send(second.get(), "one", 3, 0) == 3);
  REQUIRE(::send(second.get(), "two", 3, 0) == 3);
  second.reset();
  const auto found = unaccepted->at(listener.fd.get());
  REQUIRE(found);
  REQUIRE(found->size() == 2);
  CHECK(found->at(0).sent.empty());
  REQUIRE(found->at(1).sent.size() == 2);
  CHECK(found->at(1).sent[0].bytes == "one");
  CHECK(found->at(1).sent[1].bytes == "two");
  for (const UnacceptedConnection& unaccepted_connection : *found) {
    CHECK(unaccepted_connection.connector.pid == ::getpid());
    CHECK(unaccepted_connection.connector.uid == ::geteuid());
    CHECK(unaccepted_connection.name.empty());
  }
  CHECK(found->at(1).sent[0].sender.pid == ::getpid());
}

TEST_CASE("kernel.unix_arrivals: data that was sent in large parts") {
  const std::optional<UnacceptedReader> unaccepted = UnacceptedReader::open();
  if (!unaccepted) return;
  const Listener listener;
  const Fd client = listener.connected();
  std::string sent(150'000, '\0');
  for (std::size_t i = 0; i < sent.size(); ++i) sent[i] = static_cast<char>(i * i >> 7);
  REQUIRE(::send(client.get(), sent.data(), sent.size(), 0) == static_cast<ssize_t>(sent.size()));
  const auto found = unaccepted->at(listener.fd.get());
  REQUIRE(found);
  std::string got;
  for (const UnacceptedConnection::Sent& part : found->at(0).sent) got += part.bytes;
  CHECK(got == sent);
}

TEST_CASE("kernel.unix_arrivals: passed descriptors cannot be read") {
  const std::optional<UnacceptedReader> unaccepted = UnacceptedReader::open();
  if (!unaccepted) return;
  const Listener listener;
  const Fd client = listener.connected();
  pass(client.get(), client.get());
  CHECK_FALSE(unaccepted->at(listener.fd.get()).has_value());
}

}  // namespace crx
