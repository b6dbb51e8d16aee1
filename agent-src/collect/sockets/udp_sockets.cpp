// Datagram and raw sockets: queued datagrams, where they can be moved, and multicast groups.
#include <fmt/format.h>
#include <linux/inet_diag.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <vector>

#include "agent-src/collect/sockets/inet_sockets.hpp"
#include "agent-src/collect/sockets/socket_options.hpp"
#include "common/base/backoff.hpp"
#include "common/base/clock.hpp"
#include "common/base/error.hpp"
#include "common/base/log.hpp"
#include "common/base/scope_exit.hpp"
#include "common/kernel/sockets/sock_diag.hpp"
#include "common/proc/text.hpp"

namespace crx {
namespace {

constexpr char kUdpAgain[] = "try again when the program has read it";
constexpr std::size_t kLongestDatagram = 128 * 1024;  // more than 64 KiB, since UDP_GRO may join several
constexpr int64_t kSendMs = 10;
constexpr std::size_t kMaxSources = 1024;

bool has_datagram(int fd) {
  pollfd poll{fd, POLLIN, 0};
  return ::poll(&poll, 1, 0) == 1 && (poll.revents & POLLIN) != 0;
}

// A recv(2) tells more than poll(2): a socket that is shut down for reading is readable, too.
bool has_packet(int fd) {
  return ::recv(fd, nullptr, 0, MSG_PEEK | MSG_DONTWAIT) >= 0;
}

// The kernel itself handles these protocols; a raw socket gets copies, also of packets for others, such as those of the
// migration itself. It may always miss some, as packet sockets may.
bool receives_copies(const SocketIdentity& identity) {
  const int protocol = identity.protocol;
  return identity.type == SOCK_RAW &&
         (protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_UDPLITE);
}

// Whether an unfinished packet stays in the send queue. Sent packets leave it within moments; corked data stays
// (UDP_CORK).
bool is_putting_together(int fd) {
  const Deadline deadline = Deadline::in_ms(kSendMs);
  for (Backoff backoff;; backoff.wait()) {
    int unsent = 0;
    if (::ioctl(fd, SIOCOUTQ, &unsent) != 0 || unsent == 0) return false;
    if (deadline.passed()) return true;
  }
}

// Records the destination address of the datagram, if the program has asked for it (IP_PKTINFO, IPV6_RECVPKTINFO).
void read_destination(msghdr& message, img::crx_datagram& datagram) {
  for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr; part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level == IPPROTO_IP && part->cmsg_type == IP_PKTINFO) {
      in_pktinfo info{};
      std::memcpy(&info, CMSG_DATA(part), sizeof info);
      datagram.set_destination(std::string(reinterpret_cast<const char*>(&info.ipi_addr), sizeof info.ipi_addr));
      datagram.set_ifindex(static_cast<uint32_t>(info.ipi_ifindex));
    } else if (part->cmsg_level == IPPROTO_IPV6 && part->cmsg_type == IPV6_PKTINFO) {
      in6_pktinfo info{};
      std::memcpy(&info, CMSG_DATA(part), sizeof info);
      datagram.set_destination(std::string(reinterpret_cast<const char*>(&info.ipi6_addr), sizeof info.ipi6_addr));
      datagram.set_ifindex(info.ipi6_ifindex);
    } else if (part->cmsg_level == IPPROTO_IP && part->cmsg_type == IP_TOS) {
      datagram.set_tos(*CMSG_DATA(part));
    }
  }
}

// Peeks one datagram; each call goes on behind the last (SO_PEEK_OFF). Returns false if there is no more.
bool peek_datagram(int fd, std::vector<char>& room, img::crx_datagram& datagram, const std::string& object) {
  iovec part{room.data(), room.size()};
  sockaddr_storage from{};
  char control[512];
  msghdr message{};
  message.msg_name = &from;
  message.msg_namelen = sizeof from;
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  const ssize_t got = ::recvmsg(fd, &message, MSG_PEEK | MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == ENOTCONN)) return false;
  if (got < 0) throw_errno("looking into a socket's queue", object);
  const auto source = from_socket_address(from);
  datagram.set_source(source ? source->raw() : std::string(4, '\0'));
  datagram.set_source_port(source ? source->port : 0);
  datagram.set_content(std::string(room.data(), static_cast<std::size_t>(got)));
  read_destination(message, datagram);
  return true;
}

void read_datagrams(const OpenFile& file, img::crx_inet_entry& inet) {
  const int fd = file.own.get();
  const int before = socket_int(fd, SOL_SOCKET, SO_PEEK_OFF, -1);
  const int zero = 0;
  if (::setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &zero, sizeof zero) != 0)
    throw_errno("looking into a socket's queue", file.label());
  const ScopeExit restore(
      [&] { static_cast<void>(::setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &before, sizeof before)); });
  std::vector<char> room(kLongestDatagram);
  for (;;) {
    img::crx_datagram datagram;
    if (!peek_datagram(fd, room, datagram, file.label())) return;
    *inet.add_datagrams() = std::move(datagram);
  }
}

// Returns the shutdown state of a connected UDP socket, which only sock_diag(7) reports. The kernel expects source and
// destination of the request as in a packet that arrives.
uint8_t read_shutdown(int fd, const InetSocketInfo& look) {
  if (!look.peer || look.identity.type != SOCK_DGRAM || look.is_echo()) return 0;
  inet_diag_req_v2 request{};
  request.sdiag_family = static_cast<uint8_t>(look.local.family);
  request.sdiag_protocol = static_cast<uint8_t>(look.identity.protocol);
  request.idiag_states = UINT32_MAX;
  request.id.idiag_sport = htons(look.peer->port);
  request.id.idiag_dport = htons(look.local.port);
  std::copy(look.peer->words.begin(), look.peer->words.end(), std::begin(request.id.idiag_src));
  std::copy(look.local.words.begin(), look.local.words.end(), std::begin(request.id.idiag_dst));
  uint64_t cookie = 0;
  socklen_t length = sizeof cookie;
  if (::getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &length) != 0) return 0;
  request.id.idiag_cookie[0] = static_cast<uint32_t>(cookie);
  request.id.idiag_cookie[1] = static_cast<uint32_t>(cookie >> 32);
  uint8_t ends = 0;
  const int err = SockDiag().find(request, [&](DiagBytes answer) {
    each_diag_attribute(answer, sizeof(inet_diag_msg), [&](int type, DiagBytes content) {
      if (type == INET_DIAG_SHUTDOWN) ends = diag_cast<uint8_t>(content);
    });
  });
  if (err != 0) log::debug("the kernel does not report the shutdown state of a UDP socket (error {})", err);
  return ends;
}

img::sk_shutdown shutdown_of(int fd, const InetSocketInfo& look) {
  pollfd poll{fd, POLLRDHUP, 0};
  static_cast<void>(::poll(&poll, 1, 0));
  if ((poll.revents & POLLHUP) != 0) return img::BOTH;
  if ((poll.revents & POLLRDHUP) != 0) return img::READ;
  constexpr uint8_t kSendShutdown = 2;
  return (read_shutdown(fd, look) & kSendShutdown) != 0 ? img::WRITE : img::NONE;
}

struct Group {
  uint32_t ifindex;
  InetAddress address;
};

// Returns the groups of all interfaces and sockets of the network namespace, from /proc/net/igmp ("2 eth0 : ...", then
// lines with a group in memory order) and /proc/net/igmp6 (interface and group in each line).
std::vector<Group> all_groups(int family, pid_t pid) {
  std::vector<Group> groups;
  const std::string path = fmt::format("/proc/{}/net/{}", pid, family == AF_INET ? "igmp" : "igmp6");
  const Fd file = try_open(path, 0);
  if (!file) return groups;
  const std::string text = read_fd(file.get(), path);
  std::string_view left = text;
  uint32_t ifindex = 0;
  while (const auto line = proc::next_line(left)) {
    const char* begin = line->data();
    const char* end = begin + line->size();
    if (family == AF_INET && line->starts_with('\t')) {
      Group group{ifindex, {}};
      begin += line->find_first_not_of('\t');
      if (std::from_chars(begin, end, group.address.words[0], 16).ec == std::errc()) groups.push_back(group);
      continue;
    }
    if (std::from_chars(begin, end, ifindex).ec != std::errc() || family == AF_INET) continue;
    const auto at =
        line->find_first_not_of(' ', std::min(line->find(' ', line->find_first_not_of("0123456789 \t")), line->size()));
    if (at == std::string_view::npos || at + 32 > line->size()) continue;
    Group group{ifindex, {}};
    group.address.family = AF_INET6;
    for (std::size_t i = 0; i < 4; ++i) {
      uint32_t word = 0;
      std::from_chars(begin + at + i * 8, begin + at + i * 8 + 8, word, 16);
      group.address.words.at(i) = htonl(word);
    }
    groups.push_back(group);
  }
  return groups;
}

// Adds the group if this socket is a member, with its source filter: the kernel answers only for the socket's own
// groups.
void add_membership(int fd, const Group& group, img::crx_inet_entry& inet) {
  std::vector<char> room(GROUP_FILTER_SIZE(kMaxSources));
  auto* filter = reinterpret_cast<group_filter*>(room.data());
  filter->gf_interface = group.ifindex;
  filter->gf_group = to_socket_address(group.address).storage;
  filter->gf_numsrc = kMaxSources;
  auto length = static_cast<socklen_t>(room.size());
  const int level = group.address.family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6;
  if (::getsockopt(fd, level, MCAST_MSFILTER, filter, &length) != 0) return;
  img::crx_multicast& entry = *inet.add_groups();
  entry.set_ifindex(group.ifindex);
  char name[IF_NAMESIZE] = {};
  if (::if_indextoname(group.ifindex, name) != nullptr) entry.set_device(name);
  entry.set_group(group.address.raw());
  entry.set_excluding(filter->gf_fmode == MCAST_EXCLUDE);
  for (std::size_t i = 0; i < std::min<std::size_t>(filter->gf_numsrc, kMaxSources); ++i) {
    sockaddr_storage source{};
    std::memcpy(&source, room.data() + offsetof(group_filter, gf_slist) + i * sizeof source, sizeof source);
    if (const auto address = from_socket_address(source)) entry.add_sources(address->raw());
  }
}

}  // namespace

void collect_datagrams(const OpenFile& file, const InetSocketInfo& look, FdContext& context, img::inet_sk_entry& isk) {
  const int fd = file.own.get();
  isk.set_shutdown(shutdown_of(fd, look));
  const std::string error = pending_error(fd);
  if (!error.empty()) refuse(file, error, kUdpAgain);
  img::crx_inet_entry& inet = *context.extra(file).mutable_inet();
  for (const int family : {AF_INET, AF_INET6}) {
    if (family == AF_INET6 && look.identity.family == AF_INET) continue;
    for (const Group& group : all_groups(family, file.pid)) add_membership(fd, group, inet);
  }
  if (look.identity.type == SOCK_RAW || look.is_echo()) {
    // SO_PEEK_OFF, by which all queued datagrams can be peeked, exists for UDP only.
    if (!receives_copies(look.identity) && has_packet(fd)) refuse(file, "packets wait to be read from it", kUdpAgain);
    return;
  }
  if (is_putting_together(fd)) {
    refuse(file, "a datagram is being put together in it (UDP_CORK, MSG_MORE)",
           "try again when the program has sent it");
  }
  if (has_datagram(fd)) read_datagrams(file, inet);
}

}  // namespace crx
