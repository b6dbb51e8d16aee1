#include "common/kernel/sockets/inet_options.hpp"

#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>

#include "common/base/error.hpp"
#include "common/base/fd.hpp"

namespace crx {
namespace {

constexpr int kIp = IPPROTO_IP, kIpv6 = IPPROTO_IPV6, kTcp = IPPROTO_TCP, kUdp = IPPROTO_UDP,
              kUdpLite = IPPROTO_UDPLITE;
constexpr int kRaw = 255;                     // SOL_RAW
constexpr int kIcmpv6 = 58;                   // SOL_ICMPV6
constexpr int kPacket = 263, kNetlink = 270;  // SOL_PACKET, SOL_NETLINK
constexpr OptionTime kEarly = OptionTime::early, kIdle = OptionTime::idle, kLate = OptionTime::late;

// Given by number, since Debian's headers lack some names (include/uapi/linux/{in,in6,tcp,udp}.h,
// asm-generic/socket.h).
constexpr std::array kOptions = {
    InetOption{kIp, 1, kEarly, 4},        // IP_TOS
    InetOption{kIp, 2, kEarly, 4},        // IP_TTL
    InetOption{kIp, 3, kEarly, 4},        // IP_HDRINCL
    InetOption{kIp, 4, kIdle, 0},         // IP_OPTIONS
    InetOption{kIp, 6, kEarly, 4},        // IP_RECVOPTS
    InetOption{kIp, 7, kEarly, 4},        // IP_RETOPTS
    InetOption{kIp, 8, kEarly, 4},        // IP_PKTINFO
    InetOption{kIp, 10, kEarly, 4},       // IP_MTU_DISCOVER
    InetOption{kIp, 11, kEarly, 4},       // IP_RECVERR
    InetOption{kIp, 12, kEarly, 4},       // IP_RECVTTL
    InetOption{kIp, 13, kEarly, 4},       // IP_RECVTOS
    InetOption{kIp, 15, kEarly, 4},       // IP_FREEBIND
    InetOption{kIp, 18, kEarly, 4},       // IP_PASSSEC
    InetOption{kIp, 19, kEarly, 4},       // IP_TRANSPARENT
    InetOption{kIp, 20, kEarly, 4},       // IP_ORIGDSTADDR
    InetOption{kIp, 21, kEarly, 4},       // IP_MINTTL
    InetOption{kIp, 22, kEarly, 4},       // IP_NODEFRAG
    InetOption{kIp, 23, kEarly, 4},       // IP_CHECKSUM
    InetOption{kIp, 24, kEarly, 4},       // IP_BIND_ADDRESS_NO_PORT
    InetOption{kIp, 25, kEarly, 4},       // IP_RECVFRAGSIZE
    InetOption{kIp, 26, kEarly, 4},       // IP_RECVERR_RFC4884
    InetOption{kIp, 32, kEarly, 4},       // IP_MULTICAST_IF
    InetOption{kIp, 33, kEarly, 4},       // IP_MULTICAST_TTL
    InetOption{kIp, 34, kEarly, 4},       // IP_MULTICAST_LOOP
    InetOption{kIp, 49, kEarly, 4},       // IP_MULTICAST_ALL
    InetOption{kIp, 50, kEarly, 4},       // IP_UNICAST_IF
    InetOption{kIp, 51, kEarly, 4},       // IP_LOCAL_PORT_RANGE
    InetOption{kIpv6, 7, kEarly, 4},      // IPV6_CHECKSUM
    InetOption{kIpv6, 11, kEarly, 4},     // IPV6_FLOWINFO
    InetOption{kIpv6, 16, kEarly, 4},     // IPV6_UNICAST_HOPS
    InetOption{kIpv6, 17, kEarly, 4},     // IPV6_MULTICAST_IF
    InetOption{kIpv6, 18, kEarly, 4},     // IPV6_MULTICAST_HOPS
    InetOption{kIpv6, 19, kEarly, 4},     // IPV6_MULTICAST_LOOP
    InetOption{kIpv6, 23, kEarly, 4},     // IPV6_MTU_DISCOVER
    InetOption{kIpv6, 25, kEarly, 4},     // IPV6_RECVERR
    InetOption{kIpv6, 26, kEarly, 4},     // IPV6_V6ONLY
    InetOption{kIpv6, 29, kEarly, 4},     // IPV6_MULTICAST_ALL
    InetOption{kIpv6, 31, kEarly, 4},     // IPV6_RECVERR_RFC4884
    InetOption{kIpv6, 33, kEarly, 4},     // IPV6_FLOWINFO_SEND
    InetOption{kIpv6, 36, kEarly, 4},     // IPV6_HDRINCL
    InetOption{kIpv6, 49, kEarly, 4},     // IPV6_RECVPKTINFO
    InetOption{kIpv6, 51, kEarly, 4},     // IPV6_RECVHOPLIMIT
    InetOption{kIpv6, 53, kEarly, 4},     // IPV6_RECVHOPOPTS
    InetOption{kIpv6, 56, kEarly, 4},     // IPV6_RECVRTHDR
    InetOption{kIpv6, 58, kEarly, 4},     // IPV6_RECVDSTOPTS
    InetOption{kIpv6, 60, kEarly, 4},     // IPV6_RECVPATHMTU
    InetOption{kIpv6, 62, kEarly, 4},     // IPV6_DONTFRAG
    InetOption{kIpv6, 66, kEarly, 4},     // IPV6_RECVTCLASS
    InetOption{kIpv6, 67, kEarly, 4},     // IPV6_TCLASS
    InetOption{kIpv6, 70, kEarly, 4},     // IPV6_AUTOFLOWLABEL
    InetOption{kIpv6, 72, kEarly, 4},     // IPV6_ADDR_PREFERENCES
    InetOption{kIpv6, 73, kEarly, 4},     // IPV6_MINHOPCOUNT
    InetOption{kIpv6, 74, kEarly, 4},     // IPV6_ORIGDSTADDR
    InetOption{kIpv6, 75, kEarly, 4},     // IPV6_TRANSPARENT
    InetOption{kIpv6, 76, kEarly, 4},     // IPV6_UNICAST_IF
    InetOption{kIpv6, 77, kEarly, 4},     // IPV6_RECVFRAGSIZE
    InetOption{kIpv6, 78, kEarly, 4},     // IPV6_FREEBIND
    InetOption{kTcp, 1, kLate, 4},        // TCP_NODELAY
    InetOption{kTcp, 2, kIdle, 4},        // TCP_MAXSEG
    InetOption{kTcp, 3, kLate, 4},        // TCP_CORK
    InetOption{kTcp, 4, kEarly, 4},       // TCP_KEEPIDLE
    InetOption{kTcp, 5, kEarly, 4},       // TCP_KEEPINTVL
    InetOption{kTcp, 6, kEarly, 4},       // TCP_KEEPCNT
    InetOption{kTcp, 7, kEarly, 4},       // TCP_SYNCNT
    InetOption{kTcp, 8, kEarly, 4},       // TCP_LINGER2
    InetOption{kTcp, 9, kEarly, 4},       // TCP_DEFER_ACCEPT
    InetOption{kTcp, 10, kIdle, 4},       // TCP_WINDOW_CLAMP
    InetOption{kTcp, 13, kEarly, 0},      // TCP_CONGESTION
    InetOption{kTcp, 16, kEarly, 4},      // TCP_THIN_LINEAR_TIMEOUTS
    InetOption{kTcp, 18, kEarly, 4},      // TCP_USER_TIMEOUT
    InetOption{kTcp, 23, kIdle, 4},       // TCP_FASTOPEN
    InetOption{kTcp, 25, kEarly, 4},      // TCP_NOTSENT_LOWAT
    InetOption{kTcp, 27, kIdle, 4},       // TCP_SAVE_SYN
    InetOption{kTcp, 30, kIdle, 4},       // TCP_FASTOPEN_CONNECT
    InetOption{kTcp, 34, kIdle, 4},       // TCP_FASTOPEN_NO_COOKIE
    InetOption{kTcp, 36, kEarly, 4},      // TCP_INQ
    InetOption{kTcp, 37, kLate, 4},       // TCP_TX_DELAY
    InetOption{kTcp, 44, kEarly, 4},      // TCP_RTO_MAX_MS
    InetOption{kTcp, 45, kEarly, 4},      // TCP_RTO_MIN_US
    InetOption{kTcp, 46, kEarly, 4},      // TCP_DELACK_MAX_US
    InetOption{kUdp, 1, kLate, 4},        // UDP_CORK
    InetOption{kUdp, 100, kEarly, 4},     // UDP_ENCAP
    InetOption{kUdp, 101, kEarly, 4},     // UDP_NO_CHECK6_TX
    InetOption{kUdp, 102, kEarly, 4},     // UDP_NO_CHECK6_RX
    InetOption{kUdp, 103, kEarly, 4},     // UDP_SEGMENT
    InetOption{kUdp, 104, kEarly, 4},     // UDP_GRO
    InetOption{kUdpLite, 10, kEarly, 4},  // UDPLITE_SEND_CSCOV
    InetOption{kUdpLite, 11, kEarly, 4},  // UDPLITE_RECV_CSCOV
    InetOption{kRaw, 1, kEarly, 4},       // ICMP_FILTER
    InetOption{kIcmpv6, 1, kEarly, 32},   // ICMPV6_FILTER
    InetOption{kNetlink, 3, kEarly, 4},   // NETLINK_PKTINFO
    InetOption{kNetlink, 4, kEarly, 4},   // NETLINK_BROADCAST_ERROR
    InetOption{kNetlink, 5, kEarly, 4},   // NETLINK_NO_ENOBUFS
    InetOption{kNetlink, 8, kEarly, 4},   // NETLINK_LISTEN_ALL_NSID
    InetOption{kNetlink, 10, kEarly, 4},  // NETLINK_CAP_ACK
    InetOption{kNetlink, 11, kEarly, 4},  // NETLINK_EXT_ACK
    InetOption{kNetlink, 12, kEarly, 4},  // NETLINK_GET_STRICT_CHK
    InetOption{kPacket, 7, kEarly, 4},    // PACKET_COPY_THRESH
    InetOption{kPacket, 8, kEarly, 4},    // PACKET_AUXDATA
    InetOption{kPacket, 9, kEarly, 4},    // PACKET_ORIGDEV
    InetOption{kPacket, 10, kEarly, 4},   // PACKET_VERSION
    InetOption{kPacket, 12, kEarly, 4},   // PACKET_RESERVE
    InetOption{kPacket, 14, kEarly, 4},   // PACKET_LOSS
    InetOption{kPacket, 15, kEarly, 4},   // PACKET_VNET_HDR
    InetOption{kPacket, 17, kEarly, 4},   // PACKET_TIMESTAMP
    InetOption{kPacket, 20, kEarly, 4},   // PACKET_QDISC_BYPASS
    InetOption{kPacket, 23, kEarly, 4},   // PACKET_IGNORE_OUTGOING
};

// Hop limit and device of multicasts. An accepted connection has other values than a new socket, and they cannot be set
// on a stream.
bool is_multicast_way(const InetOption& option) {
  if (option.level == kIp) return option.name == IP_MULTICAST_IF || option.name == IP_MULTICAST_TTL;
  return option.level == kIpv6 && (option.name == IPV6_MULTICAST_IF || option.name == IPV6_MULTICAST_HOPS);
}

// The segment size of a connection that has ended; it can no longer be read from anywhere (MAX_TCP_WINDOW,
// net/ipv4/tcp.c).
bool is_old_segment_size(const InetOption& option, const std::string& value) {
  constexpr uint32_t kLargest = 32767;
  uint32_t bytes = 0;
  if (option.level != kTcp || option.name != TCP_MAXSEG || value.size() != sizeof bytes) return false;
  std::memcpy(&bytes, value.data(), sizeof bytes);
  return bytes > kLargest;
}

std::optional<std::string> read_option(int fd, const InetOption& option) {
  std::string value(option.bytes != 0 ? option.bytes : kLongestOption, '\0');
  auto length = static_cast<socklen_t>(value.size());
  if (::getsockopt(fd, option.level, option.name, value.data(), &length) != 0) return std::nullopt;
  value.resize(length);
  // The value may be shorter than requested: a name followed by undefined bytes, or no value at all.
  if (option.bytes == 0) value.resize(std::min(value.size(), option.level == kTcp ? value.find('\0') : value.size()));
  if (option.bytes != 0 && value.size() != option.bytes) return std::nullopt;
  return value;
}

}  // namespace

std::span<const InetOption> inet_options() noexcept {
  return kOptions;
}

const InetOption* find_inet_option(int level, int name) noexcept {
  const auto found = std::find_if(kOptions.begin(), kOptions.end(), [&](const InetOption& option) {
    return option.level == level && option.name == name;
  });
  return found == kOptions.end() ? nullptr : &*found;
}

const std::vector<InetOptionReader::Default>& InetOptionReader::defaults(const Kind& kind) {
  const auto [slot, is_new] = defaults_.try_emplace(kind);
  if (!is_new) return slot->second;
  const Fd fresh(::socket(kind.family, kind.type | SOCK_CLOEXEC, kind.protocol));
  if (!fresh)
    throw_errno("making a socket for comparison", fmt::format("family {}, protocol {}", kind.family, kind.protocol));
  for (const InetOption& option : kOptions) {
    if (option.level == kIpv6 && kind.family != AF_INET6) continue;
    if (kind.type == SOCK_STREAM && is_multicast_way(option)) continue;
    if (auto value = read_option(fresh.get(), option)) slot->second.push_back({&option, std::move(*value)});
  }
  return slot->second;
}

std::vector<OptionValue> InetOptionReader::read(int fd, bool connected) {
  Kind kind;
  socklen_t length = sizeof kind.family;
  if (::getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &kind.family, &length) != 0 ||
      ::getsockopt(fd, SOL_SOCKET, SO_TYPE, &kind.type, &length) != 0 ||
      ::getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &kind.protocol, &length) != 0) {
    throw_errno("reading a socket's options", "a socket");
  }
  std::vector<OptionValue> values;
  for (const Default& usual : defaults(kind)) {
    if (connected && usual.option->time == kIdle) continue;
    auto mine = read_option(fd, *usual.option);
    if (mine && *mine != usual.value && !is_old_segment_size(*usual.option, *mine))
      values.push_back({usual.option, std::move(*mine)});
  }
  return values;
}

void set_inet_option(int fd, const InetOption& option, const std::string& value, const std::string& object) {
  if (value.size() > kLongestOption || (option.bytes != 0 && value.size() != option.bytes)) {
    throw Error(ErrorCode::corrupt_image, "setting socket options",
                fmt::format("{}: option {} of level {} has {} bytes", object, option.name, option.level, value.size()));
  }
  if (::setsockopt(fd, option.level, option.name, value.data(), static_cast<socklen_t>(value.size())) != 0) {
    throw_errno("setting socket options", fmt::format("{}: option {} of level {}", object, option.name, option.level));
  }
}

}  // namespace crx
