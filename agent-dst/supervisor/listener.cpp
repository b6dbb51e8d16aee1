#include "agent-dst/supervisor/listener.hpp"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <memory>
#include <string>

#include "common/base/error.hpp"

namespace crx::supervisor {
namespace {

constexpr char kListenerStep[] = "listening";
constexpr int kBacklog = 1024;

Fd try_listen(const addrinfo& address) {
  Fd fd(::socket(address.ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int on = 1;
  if (!fd) return {};
  (void)::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (::bind(fd.get(), address.ai_addr, address.ai_addrlen) != 0 || ::listen(fd.get(), kBacklog) != 0) return {};
  return fd;
}

}  // namespace

Fd listen_on(const Endpoint& where, const char* option) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  const std::string port = std::to_string(where.port);
  const int rc = ::getaddrinfo(where.host.empty() ? nullptr : where.host.c_str(), port.c_str(), &hints, &found);
  if (rc != 0) {
    throw Error(ErrorCode::refused, kListenerStep, where.text() + ": " + ::gai_strerror(rc))
        .with_hint(std::string("check ") + option);
  }
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owned(found, ::freeaddrinfo);
  int err = 0;
  for (const addrinfo* one = found; one != nullptr; one = one->ai_next) {
    Fd fd = try_listen(*one);
    if (fd) return fd;
    err = errno;
  }
  throw Error(ErrorCode::refused, kListenerStep, where.text(), err)
      .with_hint(std::string("check that no other program uses the port, and that the address given to ") + option +
                 " belongs to this host");
}

uint16_t bound_port(int fd) {
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) != 0) throw_errno(kListenerStep, "getsockname");
  return ntohs(address.ss_family == AF_INET6 ? reinterpret_cast<const sockaddr_in6&>(address).sin6_port
                                             : reinterpret_cast<const sockaddr_in&>(address).sin_port);
}

}  // namespace crx::supervisor
