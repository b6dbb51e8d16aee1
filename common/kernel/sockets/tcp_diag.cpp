#include "common/kernel/sockets/tcp_diag.hpp"

#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <netinet/in.h>

#include <algorithm>
#include <cerrno>
#include <iterator>

#include "common/base/log.hpp"

namespace crx {
namespace {

inet_diag_req_v2 request_for(int family, uint32_t states) {
  inet_diag_req_v2 request{};
  request.sdiag_family = static_cast<uint8_t>(family);
  request.sdiag_protocol = IPPROTO_TCP;
  // the information on MD5 keys follows this attribute and is only sent with it
  request.idiag_ext = 1 << (INET_DIAG_INFO - 1);
  request.idiag_states = states;
  request.id.idiag_cookie[0] = request.id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
  return request;
}

InetAddress address_of(int family, const __be32 (&words)[4], __be16 port) {
  InetAddress address;
  address.family = family;
  std::copy_n(words, address.bytes() / sizeof words[0], address.words.begin());
  address.port = ntohs(port);
  return address.plain();
}

TcpSocketInfo parse_tcp(DiagBytes answer) {
  const auto message = diag_cast<inet_diag_msg>(answer);
  TcpSocketInfo info;
  info.local = address_of(message.idiag_family, message.id.idiag_src, message.id.idiag_sport);
  info.peer = address_of(message.idiag_family, message.id.idiag_dst, message.id.idiag_dport);
  info.state = message.idiag_state;
  info.inode = message.idiag_inode;
  info.received = message.idiag_rqueue;
  each_diag_attribute(answer, sizeof message, [&](int type, DiagBytes) { info.signs |= type == INET_DIAG_MD5SIG; });
  return info;
}

}  // namespace

std::optional<std::vector<TcpSocketInfo>> TcpDiag::list(uint32_t states) {
  std::vector<TcpSocketInfo> all;
  for (const int family : {AF_INET, AF_INET6}) {
    const int err =
        diag_.list(request_for(family, states), [&](DiagBytes answer) { all.push_back(parse_tcp(answer)); });
    if (err == 0) continue;
    log::debug("sock_diag cannot list TCP sockets (error {}); load the module tcp_diag (CONFIG_INET_DIAG)", err);
    return std::nullopt;
  }
  return all;
}

std::optional<TcpSocketInfo> TcpDiag::find(const InetAddress& local, const InetAddress& peer) {
  const InetAddress from = local.plain(), to = peer.plain();
  inet_diag_req_v2 request = request_for(from.family, kAllStates);
  request.id.idiag_sport = htons(from.port);
  request.id.idiag_dport = htons(to.port);
  std::copy(from.words.begin(), from.words.end(), std::begin(request.id.idiag_src));
  std::copy(to.words.begin(), to.words.end(), std::begin(request.id.idiag_dst));
  request.id.idiag_if = local.scope_id;
  std::optional<TcpSocketInfo> found;
  if (diag_.find(request, [&](DiagBytes answer) { found = parse_tcp(answer); }) != 0) return std::nullopt;
  // When there is no such connection, the kernel returns a socket that listens on the address.
  if (found->local != from || found->peer != to) return std::nullopt;
  return found;
}

}  // namespace crx
