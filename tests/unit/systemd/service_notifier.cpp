#include "common/systemd/service_notifier.hpp"

#include <doctest/doctest.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstdlib>
#include <cstring>

#include "common/base/fd.hpp"
#include "tests/unit/temp_dir.hpp"

namespace crx {
namespace {

// The socket of a service manager.
class Manager {
 public:
  Manager() : socket_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
    const std::string path = dir_.path() + "/notify";
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    std::strncpy(name.sun_path, path.c_str(), sizeof name.sun_path - 1);
    REQUIRE(::bind(socket_.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name) == 0);
    ::setenv("NOTIFY_SOCKET", path.c_str(), 1);
  }
  Manager(const Manager&) = delete;
  Manager& operator=(const Manager&) = delete;
  ~Manager() {
    ::unsetenv("NOTIFY_SOCKET");
    ::unsetenv("WATCHDOG_USEC");
  }

  // The next notice; empty: there is none.
  std::string next() const {
    char text[512];
    const ssize_t got = ::recv(socket_.get(), text, sizeof text, 0);
    return {text, got > 0 ? static_cast<std::size_t>(got) : 0};
  }

 private:
  test::TempDir dir_;
  Fd socket_;
};

}  // namespace

TEST_CASE("a service manager learns what the service does") {
  const Manager manager;
  ServiceNotifier notifier;
  notifier.give_sign();
  CHECK(manager.next() == "");  // no watchdog
  CHECK(notifier.next_sign().poll_ms() == -1);
  notifier.ready();
  CHECK(manager.next() == "READY=1");
  notifier.status("two\nlines");
  notifier.status("two\nlines");
  CHECK(manager.next() == "STATUS=two?lines");
  CHECK(manager.next() == "");
  notifier.reloading();
  CHECK(notifier.is_reloading());
  CHECK(manager.next().starts_with("RELOADING=1\nMONOTONIC_USEC="));
  notifier.ready();
  CHECK_FALSE(notifier.is_reloading());
  CHECK(manager.next() == "READY=1");
  notifier.stopping("a signal arrived");
  CHECK(manager.next() == "STOPPING=1\nSTATUS=stops: a signal arrived");
}

TEST_CASE("the watchdog gets a sign of life three times in its time") {
  const Manager manager;
  ::setenv("WATCHDOG_USEC", "900000", 1);
  ServiceNotifier notifier;
  notifier.give_sign();
  CHECK(manager.next() == "WATCHDOG=1");
  notifier.give_sign();
  CHECK(manager.next() == "");
  CHECK(notifier.next_sign().poll_ms() <= 300);
  CHECK(notifier.next_sign().poll_ms() > 0);
}

}  // namespace crx
