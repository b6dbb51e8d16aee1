// Datagram and raw sockets: bound, connected, members of their groups, with the queued datagrams.
#include <fmt/format.h>
#include <linux/capability.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstring>
#include <map>
#include <vector>

#include "agent-dst/restore/kind/fd_restorer.hpp"
#include "agent-dst/restore/sockets/inet_sockets.hpp"
#include "agent-dst/restore/sockets/socket_options.hpp"
#include "agent-dst/restore/sockets/spoofed_packet.hpp"
#include "common/base/error.hpp"

#ifndef SO_MEMINFO
#define SO_MEMINFO 55
#endif

namespace crx {
namespace {

constexpr char kUdpSocketsStep[] = "restoring a socket";

class UdpSockets final : public FdRestorer {
 public:
  const char* name() const override { return "datagram and raw sockets"; }
  bool matches(const img::file_entry& entry) const override {
    return entry.type() == img::INETSK && entry.has_isk() && entry.isk().type() != SOCK_STREAM;
  }

  Fd open(const img::file_entry& entry, FdRestoreContext& context) override {
    const img::inet_sk_entry& isk = entry.isk();
    const img::crx_file_entry& extra = context.extra(entry.id());
    const std::string object = describe_inet(entry, context);
    if (isk.type() == SOCK_RAW) context.task.policy.check_capability(CAP_NET_RAW, object);
    Fd fd = make_inet_socket(isk, extra, object);
    close_gate(fd.get(), Gate::loopback, object);
    const InetAddress local = local_of(isk, extra.inet());
    const auto peer = peer_of(isk, extra.inet());
    if (isk.type() != SOCK_RAW) share_port(fd.get(), entry, context, object);
    attach(fd.get(), isk, local, peer, object);
    join_groups(fd.get(), extra.inet(), object);
    if (extra.inet().datagrams_size() > 0) fill(fd.get(), isk, extra.inet(), local, peer, object);
    close_gate(fd.get(), Gate::nothing, object);
    set_late_options(fd.get(), isk, extra, object);
    set_general_options(fd.get(), isk, extra, object);
    if (isk.type() != SOCK_RAW) share_port(fd.get(), entry, context, object);
    shut_down(fd.get(), isk.shutdown());
    kept_[entry.id()] = duplicate(fd.get());
    return fd;
  }

  // All sockets have their ports now.
  void opened(FdRestoreContext& context) override {
    for (const auto& [id, fd] : kept_) {
      const img::file_entry& entry = context.entries.at(id);
      set_address_options(fd.get(), entry.isk().opts(), describe_inet(entry, context));
    }
  }

  void commit(FdRestoreContext& context) override {
    for (const auto& [id, fd] : kept_) {
      const img::file_entry& entry = context.entries.at(id);
      const std::string object = describe_inet(entry, context);
      const InetAddress local = local_of(entry.isk(), context.extra(id).inet());
      require_local(local, fd.get(), object);
      open_gate(fd.get(), object);
      set_final_options(fd.get(), entry.isk(), context.extra(id), object);
    }
    kept_.clear();
  }

 private:
  static void attach(int fd, const img::inet_sk_entry& isk, InetAddress local, const std::optional<InetAddress>& peer,
                     const std::string& object) {
    const bool raw = isk.type() == SOCK_RAW;
    if (raw) local.port = 0;  // for a raw socket this field is the protocol
    const ForeignAddress foreign(fd, local);
    if (raw ? !local.is_any() : local.port != 0) bind_inet(fd, local, object);
    if (!peer) return;
    const SocketAddress to = to_socket_address(*peer);
    if (::connect(fd, to.get(), to.length) != 0) {
      throw Error(ErrorCode::refused, kUdpSocketsStep,
                  fmt::format("{}: {} cannot be reached from here", object, peer->text()), errno)
          .with_hint("see ip route at the destination");
    }
  }

  // An unconnected socket returns ENOTCONN but is shut down all the same.
  static void shut_down(int fd, img::sk_shutdown ends) {
    if (ends == img::NONE) return;
    static_cast<void>(::shutdown(fd, ends == img::BOTH ? SHUT_RDWR : ends == img::READ ? SHUT_RD : SHUT_WR));
  }

  static void join_groups(int fd, const img::crx_inet_entry& inet, const std::string& object) {
    for (const img::crx_multicast& group : inet.groups()) {
      const InetAddress address = InetAddress::from_raw(group.group(), 0);
      const uint32_t ifindex = group.device().empty() ? group.ifindex() : ::if_nametoindex(group.device().c_str());
      const int level = address.family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6;
      const auto fail = [&] {
        throw Error(
            ErrorCode::refused, kUdpSocketsStep,
            fmt::format("{}: the group {} on {} cannot be joined here", object, address.host_text(), group.device()),
            errno)
            .with_hint("make a device of this name here");
      };
      // With index 0 the kernel would choose a device by its routes.
      if (ifindex == 0 && !group.device().empty()) fail();
      if (group.excluding()) {
        group_req request{};
        request.gr_interface = ifindex;
        request.gr_group = to_socket_address(address).storage;
        if (::setsockopt(fd, level, MCAST_JOIN_GROUP, &request, sizeof request) != 0) fail();
      }
      for (const std::string& source : group.sources()) {
        group_source_req request{};
        request.gsr_interface = ifindex;
        request.gsr_group = to_socket_address(address).storage;
        request.gsr_source = to_socket_address(InetAddress::from_raw(source, 0)).storage;
        const int name = group.excluding() ? MCAST_BLOCK_SOURCE : MCAST_JOIN_SOURCE_GROUP;
        if (::setsockopt(fd, level, name, &request, sizeof request) != 0) fail();
      }
    }
  }

  static bool is_on(int fd, int name) {
    int value = 0;
    socklen_t length = sizeof value;
    return ::getsockopt(fd, SOL_SOCKET, name, &value, &length) == 0 && value != 0;
  }

  static uint32_t queued(int fd) {
    uint32_t info[9] = {};
    socklen_t length = sizeof info;
    return ::getsockopt(fd, SOL_SOCKET, SO_MEMINFO, info, &length) == 0 ? info[0] : 0;
  }

  // Sends each datagram to the socket with its sender's address as the source. A socket that shares its port is
  // connected to the sender meanwhile, so that no other socket gets the datagram.
  static void fill(int fd, const img::inet_sk_entry& isk, const img::crx_inet_entry& inet, const InetAddress& local,
                   const std::optional<InetAddress>& peer, const std::string& object) {
    const uint32_t room = isk.opts().so_rcvbuf();
    const int enough = static_cast<int>(std::min<uint32_t>(room, 1u << 30));
    static_cast<void>(::setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &enough, sizeof enough));
    const bool shared = !peer && (is_on(fd, SO_REUSEADDR) || is_on(fd, SO_REUSEPORT));
    for (const img::crx_datagram& datagram : inet.datagrams()) {
      const InetAddress source =
          InetAddress::from_raw(datagram.source(), static_cast<uint16_t>(datagram.source_port())).plain();
      const InetAddress target = target_of(datagram, local, source);
      if (shared) steer(fd, source, isk);
      const uint32_t before = queued(fd);
      send_spoofed_datagram(static_cast<uint8_t>(isk.proto()), source, target, datagram.content(), datagram.tos(),
                            object);
      if (queued(fd) == before) {
        throw Error(
            ErrorCode::unsupported, kUdpSocketsStep,
            fmt::format("{}: a datagram from {} that waited in it could not be put back", object, source.text()));
      }
      if (shared) unsteer(fd);
    }
  }

  static void steer(int fd, const InetAddress& source, const img::inet_sk_entry& isk) {
    InetAddress to = source;
    if (isk.family() == AF_INET6 && source.family == AF_INET) {
      to.family = AF_INET6;
      to.words = {0, 0, htonl(0xffff), source.words[0]};
    }
    const SocketAddress address = to_socket_address(to);
    static_cast<void>(::connect(fd, address.get(), address.length));
  }

  static void unsteer(int fd) {
    sockaddr none{};
    none.sa_family = AF_UNSPEC;
    static_cast<void>(::connect(fd, &none, sizeof none));
  }

  // Returns the address that the datagram was sent to, if it is known and on this host; otherwise the socket's address;
  // otherwise this host's.
  static InetAddress target_of(const img::crx_datagram& datagram, const InetAddress& local, const InetAddress& source) {
    InetAddress target = local.plain();
    if (!target.is_any()) return target;
    if (datagram.has_destination()) {
      target = InetAddress::from_raw(datagram.destination(), local.port).plain();
      if (target.family == source.family && !target.is_multicast() && is_local_address(target)) return target;
    }
    target = InetAddress{};
    target.family = source.family;
    target.port = local.port;
    if (source.family == AF_INET) {
      target.words[0] = htonl(INADDR_LOOPBACK);
    } else {
      target.words[3] = htonl(1);
    }
    return target;
  }

  std::map<uint32_t, Fd> kept_;  // until the commit
};

}  // namespace

FdRestorerPtr make_udp_restorer() {
  return std::make_unique<UdpSockets>();
}

}  // namespace crx
