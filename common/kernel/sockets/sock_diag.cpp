#include "common/kernel/sockets/sock_diag.hpp"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>

namespace crx {
namespace {

// The kernel builds list messages of at most 32 KiB (netlink_dump()); a single answer may be one page larger.
constexpr std::size_t kRoomBytes = std::size_t{64} << 10;
constexpr std::size_t kMostRequestBytes = 128;

}  // namespace

int SockDiag::ask(DiagBytes request, bool all, const Visit& visit) {
  if (!netlink_) {
    netlink_ = Fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
    if (!netlink_) return errno;
    room_.resize(kRoomBytes);
  }
  alignas(nlmsghdr) std::array<std::byte, NLMSG_HDRLEN + kMostRequestBytes> message{};
  const std::size_t bytes = NLMSG_HDRLEN + request.size();
  if (bytes > message.size()) return EMSGSIZE;
  nlmsghdr header{};
  header.nlmsg_len = static_cast<uint32_t>(bytes);
  header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  header.nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | (all ? NLM_F_DUMP : 0));
  header.nlmsg_seq = ++sequence_;
  std::memcpy(message.data(), &header, sizeof header);
  std::memcpy(message.data() + NLMSG_HDRLEN, request.data(), request.size());
  if (::send(netlink_.get(), message.data(), bytes, 0) != static_cast<ssize_t>(bytes)) return errno;
  for (;;) {
    const ssize_t got = ::recv(netlink_.get(), room_.data(), room_.size(), MSG_TRUNC);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno;
    if (static_cast<std::size_t>(got) > room_.size()) return EMSGSIZE;
    auto left = static_cast<unsigned>(got);
    for (const auto* answer = reinterpret_cast<const nlmsghdr*>(room_.data()); NLMSG_OK(answer, left);
         answer = NLMSG_NEXT(answer, left)) {
      if (answer->nlmsg_seq != sequence_) continue;  // the answer to an earlier, aborted request
      const DiagBytes body(static_cast<const std::byte*>(NLMSG_DATA(answer)), NLMSG_PAYLOAD(answer, 0));
      // Both types end the answer, and their payload begins with an errno value.
      if (answer->nlmsg_type == NLMSG_DONE || answer->nlmsg_type == NLMSG_ERROR) return -diag_cast<int>(body);
      if (answer->nlmsg_type == SOCK_DIAG_BY_FAMILY) visit(body);
      if (!all) return 0;
    }
  }
}

void each_diag_attribute(DiagBytes answer, std::size_t head_bytes,
                         const std::function<void(int type, DiagBytes content)>& visit) {
  const std::size_t head = NLMSG_ALIGN(head_bytes);
  if (answer.size() <= head) return;
  auto left = static_cast<int>(answer.size() - head);
  const auto* attribute = reinterpret_cast<const rtattr*>(answer.data() + head);
  for (; RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left)) {
    visit(attribute->rta_type, {static_cast<const std::byte*>(RTA_DATA(attribute)), RTA_PAYLOAD(attribute)});
  }
}

}  // namespace crx
