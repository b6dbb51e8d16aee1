#include "agent-dst/restore/sockets/spoofed_packet.hpp"

#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <sys/socket.h>

#include <cstring>

#include "common/base/error.hpp"
#include "common/base/fd.hpp"

namespace crx {
namespace {

constexpr char kSpoofedPacketStep[] = "putting a packet back";
constexpr std::size_t kLongestPacket = 65535;

template <typename T>
std::string bytes_of(const T& value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof value);
}

uint32_t sum_of(const std::string& bytes) {
  uint32_t sum = 0;
  for (std::size_t i = 0; i < bytes.size(); i += 2) {
    const auto high = static_cast<uint8_t>(bytes[i]);
    const auto low = i + 1 < bytes.size() ? static_cast<uint8_t>(bytes[i + 1]) : uint8_t{0};
    sum += static_cast<uint32_t>(high) << 8 | low;
    sum = (sum & 0xffff) + (sum >> 16);
  }
  return sum;
}

// Computes the checksum of pseudo header and segment, in network byte order.
uint16_t checksum(const InetAddress& from, const InetAddress& to, uint8_t protocol, const std::string& segment) {
  uint32_t sum =
      sum_of(from.raw()) + sum_of(to.raw()) + protocol + static_cast<uint32_t>(segment.size()) + sum_of(segment);
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  const auto folded = static_cast<uint16_t>(~sum);
  return htons(folded == 0 ? uint16_t{0xffff} : folded);
}

std::string header(const InetAddress& from, const InetAddress& to, uint8_t protocol, std::size_t length, uint32_t tos) {
  if (from.family == AF_INET) {
    iphdr ip{};
    ip.version = 4;
    ip.ihl = 5;
    ip.tos = static_cast<uint8_t>(tos);
    ip.tot_len = htons(static_cast<uint16_t>(sizeof ip + length));
    ip.ttl = 64;
    ip.protocol = protocol;
    ip.saddr = from.words[0];
    ip.daddr = to.words[0];
    return bytes_of(ip);
  }
  ip6_hdr ip{};
  ip.ip6_flow = htonl(uint32_t{6} << 28 | (tos & 0xff) << 20);
  ip.ip6_plen = htons(static_cast<uint16_t>(length));
  ip.ip6_nxt = protocol;
  ip.ip6_hlim = 64;
  std::memcpy(&ip.ip6_src, from.words.data(), 16);
  std::memcpy(&ip.ip6_dst, to.words.data(), 16);
  return bytes_of(ip);
}

void send_packet(const InetAddress& from, InetAddress to, uint8_t protocol, const std::string& segment, uint32_t tos,
                 const std::string& object) {
  if (from.family != to.family)
    throw Error(ErrorCode::corrupt_image, kSpoofedPacketStep,
                fmt::format("{}: from {} to {}", object, from.text(), to.text()));
  const std::string packet = header(from, to, protocol, segment.size(), tos) + segment;
  if (packet.size() > kLongestPacket) {
    throw Error(ErrorCode::unsupported, kSpoofedPacketStep,
                fmt::format("{}: {} bytes from {} are no single datagram", object, segment.size(), from.text()));
  }
  const Fd raw(::socket(from.family, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW));
  if (!raw) throw_errno(kSpoofedPacketStep, object);
  const int enough = 1 << 20;
  static_cast<void>(::setsockopt(raw.get(), SOL_SOCKET, SO_SNDBUFFORCE, &enough, sizeof enough));
  to.port = 0;
  const SocketAddress address = to_socket_address(to);
  if (::sendto(raw.get(), packet.data(), packet.size(), 0, address.get(), address.length) < 0)
    throw_errno(kSpoofedPacketStep, object);
}

}  // namespace

void send_spoofed_datagram(uint8_t protocol, const InetAddress& from, const InetAddress& to, const std::string& content,
                           uint32_t tos, const std::string& object) {
  udphdr udp{};
  udp.source = htons(from.port);
  udp.dest = htons(to.port);
  // UDP-Lite has the length covered by the checksum in this field; 0: all.
  udp.len = protocol == IPPROTO_UDPLITE ? uint16_t{0} : htons(static_cast<uint16_t>(sizeof udp + content.size()));
  udp.check = checksum(from, to, protocol, bytes_of(udp) + content);
  send_packet(from, to, protocol, bytes_of(udp) + content, tos, object);
}

void send_spoofed_fin(const InetAddress& from, const InetAddress& to, uint32_t seq, uint32_t ack, uint16_t window,
                      const std::string& object) {
  tcphdr tcp{};
  tcp.source = htons(from.port);
  tcp.dest = htons(to.port);
  tcp.seq = htonl(seq);
  tcp.ack_seq = htonl(ack);
  tcp.doff = sizeof tcp / 4;
  tcp.fin = 1;
  tcp.ack = 1;
  tcp.window = htons(window);
  tcp.check = checksum(from, to, IPPROTO_TCP, bytes_of(tcp));
  send_packet(from, to, IPPROTO_TCP, bytes_of(tcp), 0, object);
}

}  // namespace crx
