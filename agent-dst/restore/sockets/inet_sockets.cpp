#include "agent-dst/restore/sockets/inet_sockets.hpp"

#include <fmt/format.h>
#include <linux/filter.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "agent-dst/restore/sockets/socket_options.hpp"
#include "common/base/error.hpp"
#include "common/kernel/sockets/inet_options.hpp"
#include "common/kernel/sockets/port_use.hpp"
#include "common/kernel/sockets/tcp_repair.hpp"

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

namespace crx {
namespace {

constexpr char kInetSocketsStep[] = "restoring a socket";
constexpr uint32_t kLoopbackInterface = 1;  // the loopback interface has this index in every network namespace

int ask(int fd, int level, int name) {
  int value = 0;
  socklen_t length = sizeof value;
  return ::getsockopt(fd, level, name, &value, &length) == 0 ? value : 0;
}

bool try_set(int fd, int level, int name, int value) {
  return ::setsockopt(fd, level, name, &value, sizeof value) == 0;
}

InetAddress address_of(const google::protobuf::RepeatedField<uint32_t>& words, uint32_t family, uint32_t port) {
  const int count = family == AF_INET ? 1 : 4;
  if ((family != AF_INET && family != AF_INET6) || words.size() < count || port > UINT16_MAX) {
    throw Error(ErrorCode::corrupt_image, kInetSocketsStep,
                fmt::format("its address of family {} has {} words, port {}", family, words.size(), port));
  }
  InetAddress address;
  address.family = static_cast<int>(family);
  address.port = static_cast<uint16_t>(port);
  std::copy_n(words.begin(), count, address.words.begin());
  return address;
}

// Sets options from CRIU's fields, for sets that CRIU made; in our own sets both agree.
void set_criu_options(int fd, const img::inet_sk_entry& isk, const std::string& object) {
  const bool v4 = isk.family() == AF_INET;
  if (isk.has_v6only() && !v4 && (ask(fd, IPPROTO_IPV6, IPV6_V6ONLY) != 0) != isk.v6only())
    set_socket_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, isk.v6only() ? 1 : 0, "IPV6_V6ONLY", object);
  const img::ip_opts_entry& ip = isk.ip_opts();
  const auto either = [&](int name4, int name6, const char* word) {
    set_socket_int(fd, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? name4 : name6, 1, word, object);
  };
  if (ip.freebind()) either(IP_FREEBIND, IPV6_FREEBIND, "IP_FREEBIND");
  if (ip.pktinfo()) either(IP_PKTINFO, IPV6_RECVPKTINFO, "IP_PKTINFO");
  if (v4 && ip.raw().hdrincl()) set_socket_int(fd, IPPROTO_IP, IP_HDRINCL, 1, "IP_HDRINCL", object);
  if (isk.type() != SOCK_STREAM || isk.proto() != IPPROTO_TCP) return;
  const img::tcp_opts_entry& tcp = isk.tcp_opts();
  const auto put = [&](bool there, int name, uint32_t value, const char* word) {
    if (there && static_cast<uint32_t>(ask(fd, IPPROTO_TCP, name)) != value) {
      set_socket_int(fd, IPPROTO_TCP, name, static_cast<int>(value), word, object);
    }
  };
  put(tcp.has_keepcnt(), TCP_KEEPCNT, tcp.keepcnt(), "TCP_KEEPCNT");
  put(tcp.has_keepidle(), TCP_KEEPIDLE, tcp.keepidle(), "TCP_KEEPIDLE");
  put(tcp.has_keepintvl(), TCP_KEEPINTVL, tcp.keepintvl(), "TCP_KEEPINTVL");
}

void set_options(int fd, const img::crx_file_entry& extra, bool late, const std::string& object) {
  for (const img::crx_inet_option& entry : extra.inet_options()) {
    const InetOption* option = find_inet_option(entry.level(), entry.name());
    if (option == nullptr) {
      throw Error(ErrorCode::corrupt_image, kInetSocketsStep,
                  fmt::format("{}: option {} of level {} is not known", object, entry.name(), entry.level()));
    }
    // For an ended connection the values that the connection had set are left alone.
    if (option->time == OptionTime::idle && extra.inet().ended()) continue;
    if ((option->time == OptionTime::late) == late) set_inet_option(fd, *option, entry.value(), object);
  }
}

// Whether both sockets need the same port. Connections get theirs in repair mode.
bool need_same_port(const img::inet_sk_entry& a, const img::inet_sk_entry& b) {
  if (a.type() != b.type() || a.proto() != b.proto() || a.src_port() != b.src_port()) return false;
  if (b.type() == SOCK_STREAM && tcp_state::is_connected(b.state())) return false;
  const InetAddress one = local_of(a, {}).plain(), two = local_of(b, {}).plain();
  if (one.family == two.family) return one.is_any() || two.is_any() || one.words == two.words;
  return one.family == AF_INET6 ? one.is_any() && !a.v6only() : two.is_any() && !b.v6only();
}

// Whether the options of both allow them to share a port.
bool may_share(const img::inet_sk_entry& a, const img::inet_sk_entry& b) {
  if (a.opts().so_reuseport() && b.opts().so_reuseport()) return true;
  const bool both_listen =
      a.type() == SOCK_STREAM && a.state() == tcp_state::kListen && b.state() == tcp_state::kListen;
  return a.opts().reuseaddr() && b.opts().reuseaddr() && !both_listen;
}

bool is_echo(uint32_t proto) {
  return proto == IPPROTO_ICMP || proto == IPPROTO_ICMPV6;
}

bool may_be_made(uint32_t type, uint32_t proto) {
  if (type == SOCK_STREAM) return proto == IPPROTO_TCP || proto == IPPROTO_MPTCP;
  if (type == SOCK_DGRAM) return proto == IPPROTO_UDP || proto == IPPROTO_UDPLITE || is_echo(proto);
  return type == SOCK_RAW && proto <= IPPROTO_MPTCP;  // as in socket(2)
}

}  // namespace

void close_gate(int fd, Gate gate, const std::string& object) {
  sock_filter from_loopback[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<uint32_t>(SKF_AD_OFF + SKF_AD_IFINDEX)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kLoopbackInterface, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
      BPF_STMT(BPF_RET | BPF_K, 0),
  };
  sock_filter none[] = {BPF_STMT(BPF_RET | BPF_K, 0)};
  const bool all = gate == Gate::nothing;
  const sock_fprog program{static_cast<unsigned short>(all ? std::size(none) : std::size(from_loopback)),
                           all ? none : from_loopback};
  if (::setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == 0) return;
  if (errno != EOPNOTSUPP) throw_errno(kInetSocketsStep, object);  // MPTCP has no filters
}

void open_gate(int fd, const std::string& object) {
  const int unused = 0;
  if (::setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &unused, sizeof unused) != 0 && errno != ENOENT &&
      errno != EOPNOTSUPP)
    throw_errno(kInetSocketsStep, object);
}

InetAddress local_of(const img::inet_sk_entry& isk, const img::crx_inet_entry&) {
  InetAddress address = address_of(isk.src_addr(), isk.family(), isk.src_port());
  if (!isk.ifname().empty()) address.scope_id = ::if_nametoindex(isk.ifname().c_str());
  return address;
}

std::optional<InetAddress> peer_of(const img::inet_sk_entry& isk, const img::crx_inet_entry&) {
  InetAddress address = address_of(isk.dst_addr(), isk.family(), isk.dst_port());
  if (address.port == 0 && address.is_any()) return std::nullopt;
  if (!isk.ifname().empty()) address.scope_id = ::if_nametoindex(isk.ifname().c_str());
  return address;
}

Fd make_inet_socket(const img::inet_sk_entry& isk, const img::crx_file_entry& extra, const std::string& object) {
  if ((isk.family() != AF_INET && isk.family() != AF_INET6) || !may_be_made(isk.type(), isk.proto())) {
    throw Error(ErrorCode::corrupt_image, kInetSocketsStep,
                fmt::format("{}: family {}, type {}, protocol {}", object, isk.family(), isk.type(), isk.proto()));
  }
  Fd fd(::socket(static_cast<int>(isk.family()), static_cast<int>(isk.type()) | SOCK_CLOEXEC,
                 static_cast<int>(isk.proto())));
  if (!fd && errno == EACCES && isk.type() == SOCK_DGRAM && is_echo(isk.proto())) {
    throw Error(ErrorCode::refused, kInetSocketsStep, object + ": nobody may have sockets for ICMP echoes here")
        .with_hint("set net.ipv4.ping_group_range to a range with 0 in it");
  }
  if (!fd) throw_errno(kInetSocketsStep, object);
  // The owner decides which sockets may share the port (SO_REUSEPORT).
  const img::crx_inet_entry& inet = extra.inet();
  if (inet.has_owner_uid() && ::fchown(fd.get(), inet.owner_uid(), inet.owner_gid()) != 0)
    throw_errno(kInetSocketsStep, object);
  set_address_options(fd.get(), isk.opts(), object);
  set_criu_options(fd.get(), isk, object);
  set_options(fd.get(), extra, false, object);
  return fd;
}

void set_late_options(int fd, const img::inet_sk_entry& isk, const img::crx_file_entry& extra,
                      const std::string& object) {
  set_options(fd, extra, true, object);
  if (isk.type() != SOCK_STREAM || isk.proto() != IPPROTO_TCP || extra.inet_options_size() > 0) return;
  if (isk.tcp_opts().nodelay()) set_socket_int(fd, IPPROTO_TCP, TCP_NODELAY, 1, "TCP_NODELAY", object);
  if (isk.tcp_opts().cork()) set_socket_int(fd, IPPROTO_TCP, TCP_CORK, 1, "TCP_CORK", object);
}

void set_general_options(int fd, const img::inet_sk_entry& isk, const img::crx_file_entry& extra,
                         const std::string& object) {
  img::sk_opts_entry opts = isk.opts();
  opts.clear_so_filter();
  google::protobuf::RepeatedPtrField<img::crx_socket_option> others;
  for (const img::crx_socket_option& option : extra.socket_options()) {
    if (option.name() != SO_LOCK_FILTER) *others.Add() = option;
  }
  set_socket_options(fd, opts, others, object);
  set_status_flags(fd, isk.flags(), object);
}

void set_final_options(int fd, const img::inet_sk_entry& isk, const img::crx_file_entry& extra,
                       const std::string& object) {
  set_socket_options(fd, isk.opts(), extra.socket_options(), object);
}

void bind_inet(int fd, const InetAddress& address, const std::string& object) {
  const SocketAddress to = to_socket_address(address);
  if (::bind(fd, to.get(), to.length) == 0) return;
  if (errno == EADDRNOTAVAIL) {
    const ForeignAddress foreign(fd, address);
    if (::bind(fd, to.get(), to.length) == 0) return;
  }
  const int err = errno;
  if (err == EADDRINUSE) throw_address_taken(fd, address, object);
  throw Error(ErrorCode::refused, kInetSocketsStep,
              fmt::format("{}: the address {} cannot be taken here", object, address.text()), err);
}

void share_port(int fd, const img::file_entry& entry, const FdRestoreContext& context, const std::string& object) {
  const img::inet_sk_entry& isk = entry.isk();
  if (isk.src_port() == 0) return;
  for (const auto& [id, other] : context.entries) {
    if (id == entry.id() || !other.has_isk() || !need_same_port(isk, other.isk()) || may_share(isk, other.isk()))
      continue;
    const bool datagrams = isk.type() == SOCK_DGRAM,
               by_port = isk.opts().so_reuseport() || other.isk().opts().so_reuseport();
    const bool by_address = datagrams && !by_port && (isk.opts().reuseaddr() || other.isk().opts().reuseaddr());
    set_socket_int(fd, SOL_SOCKET, by_address ? SO_REUSEADDR : SO_REUSEPORT, 1,
                   by_address ? "SO_REUSEADDR" : "SO_REUSEPORT", object);
  }
}

void throw_address_taken(int fd, const InetAddress& address, const std::string& object) {
  const auto [reason, remedy, lingers] = explain_port(ask(fd, SOL_SOCKET, SO_TYPE), address.port);
  throw Error(ErrorCode::refused, kInetSocketsStep,
              fmt::format("{}: the address {} cannot be taken: it {}", object, address.text(), reason))
      .with_hint(remedy);
}

void require_local(const InetAddress& address, int fd, const std::string& object) {
  const bool v4 = address.family == AF_INET;
  const auto has = [&](int name4, int name6) {
    return ask(fd, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? name4 : name6) != 0;
  };
  if (address.is_multicast() || is_local_address(address)) return;
  if (has(IP_FREEBIND, IPV6_FREEBIND) || has(IP_TRANSPARENT, IPV6_TRANSPARENT)) return;
  throw Error(ErrorCode::refused, kInetSocketsStep,
              fmt::format("{}: the address {} is not on this host", object, address.host_text()))
      .with_hint(
          "move it along with a --hook: away from the source at its stage frozen, to here at the destination's stage "
          "prepared");
}

ForeignAddress::ForeignAddress(int fd, const InetAddress& address) : fd_(fd), family_(address.family) {
  if (is_local_address(address)) return;
  const bool v4 = family_ == AF_INET;
  const int level = v4 ? IPPROTO_IP : IPPROTO_IPV6, name = v4 ? IP_TRANSPARENT : IPV6_TRANSPARENT;
  if (ask(fd_, level, name) == 0) set_ = try_set(fd_, level, name, 1);
}

ForeignAddress::~ForeignAddress() {
  if (set_)
    try_set(fd_, family_ == AF_INET ? IPPROTO_IP : IPPROTO_IPV6, family_ == AF_INET ? IP_TRANSPARENT : IPV6_TRANSPARENT,
            0);
}

std::string describe_inet(const img::file_entry& entry, const FdRestoreContext& context) {
  const img::inet_sk_entry& isk = entry.isk();
  const char* kind = isk.type() == SOCK_STREAM ? "TCP socket"
                     : isk.type() == SOCK_RAW  ? "raw socket"
                                               : "datagram socket";
  return describe(kind, entry.id(), context);
}

}  // namespace crx
