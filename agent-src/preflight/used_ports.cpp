#include "agent-src/preflight/used_ports.hpp"

#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <utility>

#include "agent-src/collect/sockets/inet_socket_info.hpp"
#include "common/base/error.hpp"
#include "common/base/log.hpp"
#include "common/kernel/process/pidfd.hpp"
#include "common/proc/proc_dir.hpp"

namespace crx {
namespace {

bool is_on(int fd, int level, int name) {
  int value = 0;
  socklen_t length = sizeof value;
  return ::getsockopt(fd, level, name, &value, &length) == 0 && value != 0;
}

}  // namespace

std::vector<UsedPort> used_ports(pid_t pid) {
  std::vector<UsedPort> ports;
  const Fd process = open_pidfd(pid);
  const ProcDir dir = ProcDir::open_checked(pid);
  for (const int number : dir.descriptors().value_or(std::vector<int>())) {
    if (!dir.descriptor(number).value_or("").starts_with("socket:")) continue;
    try {
      const Fd fd = try_get_fd(process.get(), number);
      const auto identity = fd ? identify_socket(fd.get()) : std::nullopt;
      if (!identity || (identity->family != AF_INET && identity->family != AF_INET6)) continue;
      const std::string used_by = fmt::format("pid {} fd {}", pid, number);
      const InetSocketInfo look = look_at_inet(fd.get(), *identity, used_by);
      const bool datagrams = identity->type == SOCK_DGRAM && identity->protocol == IPPROTO_UDP && !look.peer;
      if (look.local.port == 0 || !(datagrams || (look.listening && look.is_tcp()))) continue;
      ports.push_back({look.local, identity->type, is_on(fd.get(), SOL_SOCKET, SO_REUSEADDR),
                       is_on(fd.get(), SOL_SOCKET, SO_REUSEPORT),
                       identity->family == AF_INET6 && is_on(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY), used_by});
    } catch (const Error& error) {
      log::debug("left out a socket that has gone: {}", error.what());
    }
  }
  return ports;
}

}  // namespace crx
