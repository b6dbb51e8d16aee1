// Unix sockets: queues that are peeked and filled, names that are published later, answers of sock_diag.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "agent-dst/restore/sockets/bound_path.hpp"
#include "agent-dst/restore/sockets/unix_filler.hpp"
#include "agent-src/collect/sockets/unix_queue.hpp"
#include "common/base/error.hpp"
#include "common/image/image_store.hpp"
#include "common/image/magic.hpp"
#include "common/image/schema/sockets.pb.h"
#include "common/kernel/sockets/unix_diag.hpp"
#include "tests/unit/fds/fixture.hpp"

namespace crx::test {
namespace {

BoundPath::User by_agent() {
  static const TaskFiles files;
  return {files};
}

struct Pair {
  Fd a, b;
};

Pair make_pair(int type) {
  int ends[2];
  REQUIRE(::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends) == 0);
  return {Fd(ends[0]), Fd(ends[1])};
}

void put(const Fd& fd, std::string_view text, const std::vector<int>& rights = {}) {
  send_packet(fd.get(), nullptr, std::as_bytes(std::span(text)), rights, nullptr, "a test");
}

std::string take(const Fd& fd) {
  std::array<char, 1000> text{};
  const ssize_t got = ::recv(fd.get(), text.data(), text.size(), MSG_DONTWAIT);
  return got < 0 ? "error" : std::string(text.data(), static_cast<std::size_t>(got));
}

int peek_offset(const Fd& fd) {
  int value = 0;
  socklen_t size = sizeof value;
  REQUIRE(::getsockopt(fd.get(), SOL_SOCKET, SO_PEEK_OFF, &value, &size) == 0);
  return value;
}

uint32_t inode_of(const Fd& fd) {
  struct stat st {};
  REQUIRE(::fstat(fd.get(), &st) == 0);
  return static_cast<uint32_t>(st.st_ino);
}

Fd new_socket(int type = SOCK_STREAM) {
  return Fd(::socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
}

bool can_connect(const std::string& path) {
  const Fd client = new_socket();
  const UnixAddress address = unix_address(path);
  return ::connect(client.get(), reinterpret_cast<const sockaddr*>(&address.address), address.size) == 0;
}

}  // namespace

TEST_CASE("peeking a stream takes nothing and shows where descriptors are") {
  const Pair pair = make_pair(SOCK_STREAM);
  put(pair.a, "12");
  put(pair.a, "345");
  put(pair.a, "678", {0, 1});
  put(pair.a, "9");
  put(pair.a, "x", {0});
  put(pair.a, "end");
  for (int round = 0; round < 2; ++round) {
    const auto packets = peek_unix_queue(pair.b.get(), SOCK_STREAM, "a test");
    REQUIRE(packets.size() == 5);
    CHECK(packets[0].bytes == "12345");
    CHECK(packets[0].rights.empty());
    CHECK(packets[1].bytes == "678");
    CHECK(packets[1].rights.size() == 2);
    CHECK(packets[2].bytes == "9");
    CHECK(packets[3].bytes == "x");
    CHECK(packets[3].rights.size() == 1);
    CHECK(packets[4].bytes == "end");
    CHECK(peek_offset(pair.b) == -1);
  }
  CHECK(take(pair.b) == "12345678");
}

TEST_CASE("a program's own SO_PEEK_OFF is back after a look") {
  for (const int type : {SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM}) {
    const Pair pair = make_pair(type);
    put(pair.a, "one");
    put(pair.a, "two");
    const int offset = 2;
    REQUIRE(::setsockopt(pair.b.get(), SOL_SOCKET, SO_PEEK_OFF, &offset, sizeof offset) == 0);
    const auto packets = peek_unix_queue(pair.b.get(), type, "a test");
    CHECK(packets.size() == (type == SOCK_STREAM ? 1 : 2));
    CHECK(peek_offset(pair.b) == 2);
    CHECK(take(pair.b) == (type == SOCK_STREAM ? "onetwo" : "one"));
  }
}

TEST_CASE("records and datagrams keep their boundaries, also at the end of a connection") {
  for (const int type : {SOCK_SEQPACKET, SOCK_DGRAM}) {
    Pair pair = make_pair(type);
    put(pair.a, "one");
    put(pair.a, "");
    put(pair.a, std::string(200'000, 'x'));
    put(pair.a, "last");
    pair.a.reset();
    const auto packets = peek_unix_queue(pair.b.get(), type, "a test");
    REQUIRE(packets.size() == 4);
    CHECK(packets[0].bytes == "one");
    CHECK(packets[1].bytes.empty());
    CHECK(packets[2].bytes.size() == 200'000);
    CHECK(packets[3].bytes == "last");
  }
}

TEST_CASE("a pending error is seen and stays") {
  for (const int type : {SOCK_STREAM, SOCK_SEQPACKET}) {
    Pair pair = make_pair(type);
    CHECK_FALSE(has_pending_error(pair.a.get()));
    put(pair.b, "kept");
    put(pair.a, "unread");
    pair.b.reset();
    CHECK(has_pending_error(pair.a.get()));
    if (type == SOCK_STREAM) {
      CHECK(peek_unix_queue(pair.a.get(), type, "a test").size() == 1);
    } else {
      CHECK_THROWS_AS(peek_unix_queue(pair.a.get(), type, "a test"), Error);
    }
    CHECK(has_pending_error(pair.a.get()));
  }
}

TEST_CASE("urgent data is refused, and stays urgent") {
  const Pair pair = make_pair(SOCK_STREAM);
  put(pair.a, "before");
  REQUIRE(::send(pair.a.get(), "!", 1, MSG_OOB) == 1);
  put(pair.a, "after");
  CHECK_THROWS_AS(peek_unix_queue(pair.b.get(), SOCK_STREAM, "a test"), Error);
  char urgent = 0;
  CHECK(::recv(pair.b.get(), &urgent, 1, MSG_OOB | MSG_DONTWAIT) == 1);
  CHECK(urgent == '!');
  std::string all;
  for (const UnixPacket& packet : peek_unix_queue(pair.b.get(), SOCK_STREAM, "a test")) all += packet.bytes;
  CHECK(all == "beforeafter");
}

TEST_CASE("sock_diag reports peers, names, backlogs and shut down ends") {
  const Pair pair = make_pair(SOCK_STREAM);
  REQUIRE(::shutdown(pair.a.get(), SHUT_WR) == 0);
  const auto a = find_unix_socket(inode_of(pair.a));
  REQUIRE(a.has_value());
  CHECK(a->peer == inode_of(pair.b));
  CHECK(a->state == kSocketEstablished);
  CHECK(a->type == SOCK_STREAM);
  CHECK(a->shutdown == 2);
  CHECK_FALSE(a->named);

  const TempDir dir;
  const std::string path = dir.path() + "/listening";
  const Fd listening = new_socket();
  const UnixAddress address = unix_address(path);
  REQUIRE(::bind(listening.get(), reinterpret_cast<const sockaddr*>(&address.address), address.size) == 0);
  REQUIRE(::listen(listening.get(), 4) == 0);
  const Fd client = new_socket();
  REQUIRE(::connect(client.get(), reinterpret_cast<const sockaddr*>(&address.address), address.size) == 0);
  const auto found = find_unix_socket(inode_of(listening));
  REQUIRE(found.has_value());
  CHECK(found->state == kSocketListening);
  CHECK(found->send_queue == 4);
  CHECK(found->receive_queue == 1);
  CHECK(found->waiting == std::vector<uint32_t>{inode_of(client)});
  CHECK(found->has_file);
  struct stat st {};
  REQUIRE(::stat(path.c_str(), &st) == 0);
  CHECK(found->file_inode == st.st_ino);
  CHECK(found->file_dev == st.st_dev);
  CHECK(std::string(found->name.c_str()) == path);
  CHECK_FALSE(find_unix_socket(1).has_value());
}

TEST_CASE("a name is given as the task can, in the directory that was found") {
  const TempDir dir;
  const auto make = [&](const std::string& name, uid_t owner) {
    std::string path = dir.path() + "/" + name;
    REQUIRE(::mkdir(path.c_str(), 0755) == 0);
    REQUIRE(::chown(path.c_str(), owner, owner) == 0);
    return path;
  };
  REQUIRE(::chmod(dir.path().c_str(), 0755) == 0);
  const std::string own = make("own", 1000), roots = make("roots", 0);
  TaskFiles strict(TaskFiles::Agent::nothing), helped(TaskFiles::Agent::compared_files);
  for (TaskFiles* files : {&strict, &helped}) files->set(5, {1000, 1000});
  const Fd fd = new_socket();
  const std::string refused = roots + "/a";
  CHECK_THROWS_WITH_AS(BoundPath(fd.get(), refused, refused, {strict, 5}), doctest::Contains("nothing can be made in"),
                       Error);
  {
    BoundPath place(new_socket().get(), refused, refused, {helped, 5});
    place.publish();
    CHECK(::access(refused.c_str(), F_OK) == 0);
    place.rollback();
  }
  // A link in a directory of the user does not get the agent's help, and one that comes later leads nowhere.
  REQUIRE(::symlink(roots.c_str(), (own + "/link").c_str()) == 0);
  const std::string by_link = own + "/link/b";
  CHECK_THROWS_AS(BoundPath(fd.get(), by_link, by_link, {helped, 5}), Error);
  BoundPath place(fd.get(), own + "/c", own + "/c", {helped, 5});
  place.set_owner(0600, 1000, 1000);
  const std::string moved = dir.path() + "/moved";
  REQUIRE(::rename(own.c_str(), moved.c_str()) == 0);
  REQUIRE(::symlink(roots.c_str(), own.c_str()) == 0);
  place.publish();
  CHECK(::access((roots + "/c").c_str(), F_OK) != 0);
  struct stat st {};
  REQUIRE(::stat((moved + "/c").c_str(), &st) == 0);
  CHECK(st.st_uid == 1000);
  place.rollback();
  CHECK(::access((moved + "/c").c_str(), F_OK) != 0);
}

TEST_CASE("a name is published late, and rollback restores the previous file") {
  const TempDir dir;
  const std::string path = dir.path() + "/a.sock";
  const Fd fd = new_socket();
  {
    BoundPath place(fd.get(), path, path, by_agent());
    REQUIRE(::listen(fd.get(), 5) == 0);
    CHECK_FALSE(can_connect(path));
    place.set_owner(0600, 12, 34);
    place.publish();
    CHECK(can_connect(path));
    struct stat st {};
    REQUIRE(::stat(path.c_str(), &st) == 0);
    CHECK((st.st_mode & 07777) == 0600);
    CHECK(st.st_uid == 12);
    place.rollback();
    CHECK(::access(path.c_str(), F_OK) != 0);
  }
  sockaddr_un seen{};
  socklen_t size = sizeof seen;
  REQUIRE(::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&seen), &size) == 0);
  CHECK(std::string(seen.sun_path) == path);
  CHECK(::rmdir(dir.path().c_str()) == 0);
  REQUIRE(::mkdir(dir.path().c_str(), 0700) == 0);
}

TEST_CASE("a stale socket is replaced, one in use and other files are not") {
  const TempDir dir;
  const std::string path = dir.path() + "/a.sock";
  Fd stale = new_socket();
  const UnixAddress address = unix_address(path);
  REQUIRE(::bind(stale.get(), reinterpret_cast<const sockaddr*>(&address.address), address.size) == 0);
  const Fd fd = new_socket();
  CHECK_THROWS_AS(BoundPath(fd.get(), path, path, by_agent()), Error);
  stale.reset();
  BoundPath place(fd.get(), path, path, by_agent());
  place.publish();
  REQUIRE(::listen(fd.get(), 5) == 0);
  CHECK(can_connect(path));
  place.rollback();
  CHECK(::access(path.c_str(), F_OK) == 0);
  CHECK_FALSE(can_connect(path));
  const std::string file = dir.file("b.sock", "text");
  const Fd other = new_socket();
  CHECK_THROWS_AS(BoundPath(other.get(), file, file, by_agent()), Error);
  CHECK_THROWS_AS(BoundPath(other.get(), dir.path() + "/none/c", dir.path() + "/none/c", by_agent()), Error);
  ::unlink(path.c_str());
}

TEST_CASE("folders of agents that were killed are removed, of living ones not") {
  const TempDir dir;
  const Fd alive_socket = new_socket();
  const BoundPath alive(alive_socket.get(), "a", dir.path() + "/a", by_agent());
  const std::string left = dir.path() + "/.crx-socket-left";
  REQUIRE(::mkdir(left.c_str(), 0700) == 0);
  const Fd stale = new_socket();
  const UnixAddress address = unix_address(left + "/s");
  REQUIRE(::bind(stale.get(), reinterpret_cast<const sockaddr*>(&address.address), address.size) == 0);
  const auto folders = [&] {
    std::vector<std::string> found;
    for (const auto& entry : std::filesystem::directory_iterator(dir.path())) found.push_back(entry.path());
    return found;
  };
  const timespec old[2] = {{1, 0}, {1, 0}};
  for (const std::string& folder : folders()) REQUIRE(::utimensat(AT_FDCWD, folder.c_str(), old, 0) == 0);
  CHECK(folders().size() == 2);
  const Fd fd = new_socket();
  const BoundPath place(fd.get(), "b", dir.path() + "/b", by_agent());
  CHECK(folders().size() == 2);
  CHECK(::access(left.c_str(), F_OK) != 0);
}

TEST_CASE("relative names are bound as they were given") {
  const TempDir dir;
  for (const std::string name : {"plain", "x/y", "../up", "../../a/../b/./c", "./dot", "a//b"}) {
    CAPTURE(name);
    const Fd fd = new_socket();
    BoundPath place(fd.get(), name, dir.path() + "/final", by_agent());
    REQUIRE(::listen(fd.get(), 5) == 0);
    place.publish();
    CHECK(can_connect(dir.path() + "/final"));
    sockaddr_un seen{};
    socklen_t size = sizeof seen;
    REQUIRE(::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&seen), &size) == 0);
    CHECK(std::string(seen.sun_path) == name);
    place.rollback();
  }
  for (const std::string name : {"", "a/", "..", "a/.."}) {
    CAPTURE(name);
    const Fd fd = new_socket();
    CHECK_THROWS_AS(BoundPath(fd.get(), name, dir.path() + "/final", by_agent()), Error);
  }
}

TEST_CASE("malformed queues are named") {
  const auto refused = [](const img::sk_packet_entry& entry, std::string_view bytes) {
    ImageStore images;
    images.append(image_file::kSkQueues, entry);
    images.append_raw(image_file::kSkQueues, std::as_bytes(std::span(bytes)));
    CHECK_THROWS_AS(read_socket_queues(images), Error);
  };
  img::sk_packet_entry entry;
  entry.set_id_for(1);
  entry.set_length(5);
  refused(entry, "four");
  entry.set_length(UINT32_MAX);
  refused(entry, "four");
  entry.set_length(4);
  entry.add_scm()->set_type(99);
  refused(entry, "four");
  entry.mutable_scm(0)->set_type(SCM_RIGHTS);
  for (uint32_t i = 0; i < 300; ++i) entry.mutable_scm(0)->add_rights(i);
  refused(entry, "four");
}

}  // namespace crx::test
