#include "agent-src/preflight/used_addresses.hpp"

#include <netinet/in.h>
#include <sys/socket.h>

#include <set>

#include "agent-src/collect/sockets/inet_socket_info.hpp"
#include "agent-src/collect/sockets/socket_options.hpp"
#include "common/base/error.hpp"

namespace crx {
namespace {

std::optional<UsedAddress> address_of(const OpenFile& file) {
  const BorrowedSocket borrowed(file);
  const auto identity = identify_socket(borrowed.get());
  if (!identity || (identity->family != AF_INET && identity->family != AF_INET6)) return std::nullopt;
  InetSocketInfo look;
  look.identity = *identity;
  const bool udp = identity->type == SOCK_DGRAM && identity->protocol == IPPROTO_UDP;
  if (!udp && !look.is_tcp()) return std::nullopt;
  look = look_at_inet(borrowed.get(), *identity, file.label());
  if (look.local.port == 0) return std::nullopt;
  const int fd = borrowed.get();
  const bool v4 = identity->family == AF_INET;
  const auto is_set = [&](int name4, int name6) {
    return socket_int(fd, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? name4 : name6) != 0;
  };
  UsedAddress used;
  used.address = look.local;
  used.may_be_missing = is_set(IP_FREEBIND, IPV6_FREEBIND) || is_set(IP_TRANSPARENT, IPV6_TRANSPARENT);
  used.used_by = file.label();
  return used;
}

}  // namespace

std::vector<UsedAddress> used_addresses(pid_t pid) {
  std::vector<UsedAddress> all;
  std::set<ino_t> seen;
  for (const OpenFile& file : list_open_files(pid)) {
    if (!S_ISSOCK(file.st.st_mode) || !seen.insert(file.st.st_ino).second) continue;
    unless_closed(file, [&] {
      if (auto used = address_of(file)) all.push_back(std::move(*used));
    });
  }
  return all;
}

}  // namespace crx
