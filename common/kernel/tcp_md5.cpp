#include "common/kernel/tcp_md5.hpp"

#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <vector>

#include "common/base/fd.hpp"
#include "common/base/log.hpp"

namespace crx {
namespace {

constexpr std::size_t kBufferBytes = std::size_t{1} << 18;

bool has_keys(const nlmsghdr* header) {
  auto left = static_cast<int>(header->nlmsg_len - NLMSG_LENGTH(sizeof(inet_diag_msg)));
  const auto* attribute = reinterpret_cast<const rtattr*>(static_cast<const inet_diag_msg*>(NLMSG_DATA(header)) + 1);
  for (; RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left)) {
    if (attribute->rta_type == INET_DIAG_MD5SIG) return true;
  }
  return false;
}

// False: the kernel does not answer.
bool list(int netlink, uint8_t family, std::set<uint64_t>& inodes) {
  struct {
    nlmsghdr header;
    inet_diag_req_v2 body;
  } message{};
  message.header.nlmsg_len = sizeof message;
  message.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  message.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  message.body.sdiag_family = family;
  message.body.sdiag_protocol = IPPROTO_TCP;
  message.body.idiag_ext = 1 << (INET_DIAG_INFO - 1);  // keys come behind it, and not without it
  message.body.idiag_states = UINT32_MAX;
  if (::send(netlink, &message, sizeof message, 0) != static_cast<ssize_t>(sizeof message)) return false;
  std::vector<char> buffer(kBufferBytes);
  while (true) {
    const ssize_t got = ::recv(netlink, buffer.data(), buffer.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return false;
    auto left = static_cast<unsigned>(got);
    for (const auto* header = reinterpret_cast<const nlmsghdr*>(buffer.data()); NLMSG_OK(header, left); header = NLMSG_NEXT(header, left)) {
      if (header->nlmsg_type == NLMSG_DONE) return true;
      if (header->nlmsg_type == NLMSG_ERROR) return false;
      if (header->nlmsg_type == SOCK_DIAG_BY_FAMILY && has_keys(header)) {
        inodes.insert(static_cast<const inet_diag_msg*>(NLMSG_DATA(header))->idiag_inode);
      }
    }
  }
}

}  // namespace

std::set<uint64_t> sockets_with_md5_keys() {
  std::set<uint64_t> inodes;
  const Fd netlink(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
  for (const int family : {AF_INET, AF_INET6}) {
    if (!netlink || !list(netlink.get(), static_cast<uint8_t>(family), inodes)) log::debug("the kernel does not tell of MD5 keys of TCP sockets");
  }
  return inodes;
}

}  // namespace crx
