#include "agent-src/collect/sockets/inet_sockets.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>

#include <memory>
#include <optional>

#include "agent-src/collect/sockets/net_rows.hpp"
#include "agent-src/collect/sockets/socket_options.hpp"
#include "agent-src/collect/sockets/tcp_sockets.hpp"
#include "common/base/error.hpp"
#include "common/kernel/sockets/tcp_repair.hpp"

namespace crx {
namespace {

bool is_inet(const SocketIdentity& identity) {
  return identity.family == AF_INET || identity.family == AF_INET6;
}

bool is_supported(const SocketIdentity& identity) {
  InetSocketInfo look;
  look.identity = identity;
  if (look.is_tcp()) return true;
  if (identity.type == SOCK_RAW) return true;
  return identity.type == SOCK_DGRAM &&
         (identity.protocol == IPPROTO_UDP || identity.protocol == IPPROTO_UDPLITE || look.is_echo());
}

constexpr char kKindRemedy[] = "close it before moving the program";

std::string kind_reason(const SocketIdentity& identity) {
  return fmt::format("it is a socket of protocol {} (type {}), which cannot be moved", identity.protocol,
                     identity.type);
}

bool in_other_network(const OpenFile& file) {
  const auto its = try_read_link(AT_FDCWD, fmt::format("/proc/{}/ns/net", file.pid));
  return its && its != try_read_link(AT_FDCWD, "/proc/self/ns/net");
}
constexpr char kNetworkReason[] = "it is in another network namespace than crx-migrate";
constexpr char kNetworkRemedy[] = "run crx-migrate there (nsenter --net), and the agent in the one it shall live in";

// Returns the peer of a socket without ports, which getpeername(2) does not report.
std::optional<InetAddress> portless_peer(const OpenFile& file, const InetSocketInfo& look) {
  const std::string table = look.is_echo() ? "icmp" : "raw";
  for (const NetRow& row : read_net_rows(file.pid, (look.identity.family == AF_INET ? table : table + "6").c_str())) {
    if (row.inode == file.st.st_ino && !row.peer.is_any()) return row.peer;
  }
  return std::nullopt;
}

void add_words(const InetAddress& address, google::protobuf::RepeatedField<uint32_t>& words) {
  for (std::size_t i = 0; i < address.bytes() / 4; ++i) words.Add(address.words.at(i));
}

std::string interface_name(uint32_t index) {
  char name[IF_NAMESIZE] = {};
  return index != 0 && ::if_indextoname(index, name) != nullptr ? name : "";
}

void fill_protocol_options(int fd, const InetSocketInfo& look, img::inet_sk_entry& isk) {
  img::ip_opts_entry& ip = *isk.mutable_ip_opts();
  if (look.identity.family == AF_INET) {
    ip.set_tos(static_cast<uint32_t>(socket_int(fd, IPPROTO_IP, IP_TOS)));
    ip.set_ttl(static_cast<uint32_t>(socket_int(fd, IPPROTO_IP, IP_TTL)));
    ip.set_freebind(socket_int(fd, IPPROTO_IP, IP_FREEBIND) != 0);
    ip.set_pktinfo(socket_int(fd, IPPROTO_IP, IP_PKTINFO) != 0);
  } else {
    isk.set_v6only(socket_int(fd, IPPROTO_IPV6, IPV6_V6ONLY) != 0);
    ip.set_freebind(socket_int(fd, IPPROTO_IPV6, IPV6_FREEBIND) != 0);
    ip.set_pktinfo(socket_int(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO) != 0);
  }
  if (look.identity.type == SOCK_RAW && look.identity.family == AF_INET) {
    ip.mutable_raw()->set_hdrincl(socket_int(fd, IPPROTO_IP, IP_HDRINCL) != 0);
  }
  if (!look.is_tcp()) return;
  img::tcp_opts_entry& tcp = *isk.mutable_tcp_opts();
  tcp.set_cork(socket_int(fd, IPPROTO_TCP, TCP_CORK) != 0);
  tcp.set_nodelay(socket_int(fd, IPPROTO_TCP, TCP_NODELAY) != 0);
  const auto put = [&](int name, auto setter) {
    const int value = socket_int(fd, IPPROTO_TCP, name, -1);
    if (value >= 0) (tcp.*setter)(static_cast<uint32_t>(value));
  };
  put(TCP_KEEPCNT, &img::tcp_opts_entry::set_keepcnt);
  put(TCP_KEEPIDLE, &img::tcp_opts_entry::set_keepidle);
  put(TCP_KEEPINTVL, &img::tcp_opts_entry::set_keepintvl);
}

class InetSockets final : public FdKind {
 public:
  const char* name() const override { return "inet sockets"; }

  bool matches(const OpenFile& file) const override {
    const auto identity = identify_socket(file);
    return identity && is_inet(*identity);
  }

  void inspect(const OpenFile& file, const std::vector<OpenFile>& all, InspectContext& context) override {
    const BorrowedSocket borrowed(file);
    const auto identity = identify_socket(borrowed.get());
    if (!identity) return;
    const auto refuse_it = [&](const std::string& reason, const std::string& remedy) {
      context.refusals.push_back(refusal_of(file, reason, remedy));
    };
    if (!is_supported(*identity)) return refuse_it(kind_reason(*identity), kKindRemedy);
    if (in_other_network(file)) return refuse_it(kNetworkReason, kNetworkRemedy);
    const std::string problem = socket_option_problem(borrowed.get());
    if (!problem.empty()) refuse_it(problem, kFilterRemedy);
    const InetSocketInfo look = look_at_inet(borrowed.get(), *identity, file.label());
    if (!look.is_tcp()) return;
    if (!table_) table_.emplace(all);
    inspect_tcp(file, look, *table_, context);
  }

  void collect(OpenFile& file, FdContext& context, img::file_entry& entry) override {
    const auto identity = identify_socket(file.own.get());
    if (!identity || !is_supported(*identity))
      refuse(file, kind_reason(identity.value_or(SocketIdentity{})), kKindRemedy);
    if (in_other_network(file)) refuse(file, kNetworkReason, kNetworkRemedy);
    InetSocketInfo look = look_at_inet(file.own.get(), *identity, file.label());
    if (identity->type == SOCK_RAW || look.is_echo()) look.peer = portless_peer(file, look);
    entry.set_type(img::INETSK);
    img::inet_sk_entry& isk = *entry.mutable_isk();
    collect_inet(file, look, context, options_, isk);
    if (look.is_tcp()) {
      if (!tcp_) tcp_.emplace(context);
      tcp_->collect(file, look, context, isk);
    } else {
      collect_datagrams(file, look, context, isk);
    }
  }

 private:
  std::optional<TcpTable> table_;  // used while inspecting
  std::optional<TcpCollector> tcp_;
  InetOptionReader options_;
};

}  // namespace

std::string pending_error(int fd) {
  pollfd poll{fd, 0, 0};
  if (::poll(&poll, 1, 0) == 1 && (poll.revents & POLLERR) != 0) return "an error waits to be read from it";
  return {};
}

void add_inet_options(const std::vector<OptionValue>& values, img::crx_file_entry& extra) {
  for (const OptionValue& value : values) {
    img::crx_inet_option& option = *extra.add_inet_options();
    option.set_level(value.option->level);
    option.set_name(value.option->name);
    option.set_value(value.value);
  }
}

void collect_inet(const OpenFile& file, const InetSocketInfo& look, FdContext& context, InetOptionReader& options,
                  img::inet_sk_entry& isk) {
  const int fd = file.own.get();
  isk.set_id(file.id);
  isk.set_ino(static_cast<uint32_t>(file.st.st_ino));
  isk.set_family(static_cast<uint32_t>(look.identity.family));
  isk.set_type(static_cast<uint32_t>(look.identity.type));
  isk.set_proto(static_cast<uint32_t>(look.identity.protocol));
  isk.set_state(look.state);
  isk.set_src_port(look.local.port);
  isk.set_dst_port(look.peer ? look.peer->port : 0);
  isk.set_flags(file.info.flags);
  isk.set_backlog(look.backlog);
  add_words(look.local, *isk.mutable_src_addr());
  InetAddress none;
  none.family = look.identity.family;
  add_words(look.peer.value_or(none), *isk.mutable_dst_addr());
  *isk.mutable_fown() = read_file_owner(file);
  *isk.mutable_opts() = read_socket_options(file, context);
  const std::string device = interface_name(look.local.scope_id);
  if (!device.empty()) isk.set_ifname(device);
  fill_protocol_options(fd, look, isk);

  img::crx_file_entry& extra = context.extra(file);
  const bool connected = look.is_tcp() && look.state != tcp_state::kClose && look.state != tcp_state::kListen;
  add_inet_options(options.read(fd, connected), extra);
  extra.mutable_inet()->set_owner_uid(file.st.st_uid);
  extra.mutable_inet()->set_owner_gid(file.st.st_gid);
}

FdKindPtr make_inet_sockets() {
  return std::make_unique<InetSockets>();
}

}  // namespace crx
