#include <doctest/doctest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <string>
#include <vector>

#include "common/base/fd.hpp"
#include "common/kernel/introspect/kernel_view.hpp"

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
  uint64_t inode() const {
    struct stat st {};
    REQUIRE(::fstat(fd.get(), &st) == 0);
    return st.st_ino;
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

TEST_CASE("kernel.unaccepted: what was sent over connections that are not accepted") {
  KernelView view;
  const UnacceptedReader* const reader = view.unaccepted();
  REQUIRE_MESSAGE(reader != nullptr, view.reason());
  const Listener listener;
  const UnacceptedQueue none = reader->read(listener.inode());
  CHECK(none.trouble.empty());
  CHECK(none.connections.empty());
  const Fd first = listener.connected();
  Fd second = listener.connected();
  REQUIRE(::send(second.get(), "one", 3, 0) == 3);
  REQUIRE(::send(second.get(), "two", 3, 0) == 3);
  second.reset();
  const auto [found, trouble] = reader->read(listener.inode());
  CHECK(trouble.empty());
  REQUIRE(found.size() == 2);
  CHECK(found[0].sent.empty());
  REQUIRE(found[1].sent.size() == 2);
  CHECK(found[1].sent[0].bytes == "one");
  CHECK(found[1].sent[1].bytes == "two");
  for (const UnacceptedConnection& connection : found) {
    CHECK(connection.connector.pid == ::getpid());
    CHECK(connection.connector.uid == ::geteuid());
    CHECK(connection.name.empty());
  }
  CHECK(found[1].sent[0].sender.pid == ::getpid());
}

// The program writes a part in each run, and goes on where it was.
TEST_CASE("kernel.unaccepted: many connections with much in each") {
  KernelView view;
  const UnacceptedReader* const reader = view.unaccepted();
  REQUIRE_MESSAGE(reader != nullptr, view.reason());
  const Listener listener;
  std::vector<Fd> clients;
  for (std::size_t i = 0; i < 8; ++i) {
    clients.push_back(listener.connected());
    for (std::size_t piece = 0; piece < i * 3; ++piece) {
      const std::string text(3000, static_cast<char>('a' + piece));
      REQUIRE(::send(clients[i].get(), text.data(), text.size(), 0) == 3000);
    }
  }
  const auto [found, trouble] = reader->read(listener.inode());
  CHECK(trouble.empty());
  REQUIRE(found.size() == clients.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    REQUIRE(found[i].sent.size() == i * 3);
    for (std::size_t piece = 0; piece < i * 3; ++piece)
      CHECK(found[i].sent[piece].bytes == std::string(3000, static_cast<char>('a' + piece)));
  }
}

TEST_CASE("kernel.unaccepted: what cannot be read is refused, with the reason") {
  KernelView view;
  const UnacceptedReader* const reader = view.unaccepted();
  REQUIRE_MESSAGE(reader != nullptr, view.reason());
  const Listener listener;
  const Fd client = listener.connected();
  SUBCASE("descriptors") {
    pass(client.get(), client.get());
    CHECK(reader->read(listener.inode()).trouble == "descriptors were passed with it");
  }
  SUBCASE("large parts") {
    const std::string text(50'000, 'x');
    REQUIRE(::send(client.get(), text.data(), text.size(), 0) == static_cast<ssize_t>(text.size()));
    CHECK(reader->read(listener.inode()).trouble == "more than 3 KiB of it were sent at once");
  }
  SUBCASE("a socket that does not exist") {
    CHECK_FALSE(reader->read(~0ULL).trouble.empty());
  }
  CHECK(reader->read(listener.inode()).connections.size() <= 1);
}

}  // namespace crx
