#include "agent-dst/ipc/packet.hpp"

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "common/base/error.hpp"

namespace crx::ipc {
namespace {

constexpr std::size_t kMaxFds = 4;

iovec piece(std::span<const std::byte> bytes) {
  return {const_cast<std::byte*>(bytes.data()), bytes.size()};  // sendmsg(2) does not write to the memory
}

}  // namespace

std::pair<Fd, Fd> make_pair() {
  int fds[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0) {
    throw_errno("starting a process of crx-agent", "a socket pair");
  }
  return {Fd(fds[0]), Fd(fds[1])};
}

SendResult send_packet(int fd, std::span<const std::byte> head, std::span<const std::byte> body,
                       std::span<const int> fds) {
  std::array<iovec, 2> pieces = {piece(head), piece(body)};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * kMaxFds)> control{};
  msghdr message{};
  message.msg_iov = pieces.data();
  message.msg_iovlen = pieces.size();
  if (!fds.empty()) {
    message.msg_control = control.data();
    message.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(rights), fds.data(), fds.size_bytes());
  }
  for (;;) {
    if (::sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) return SendResult::sent;
    if (errno == EINTR) continue;
    return errno == EAGAIN || errno == EWOULDBLOCK ? SendResult::would_block : SendResult::closed;
  }
}

ReceiveResult receive_packet(int fd, std::span<std::byte> to, std::size_t& bytes, std::vector<Fd>& fds) {
  iovec into{to.data(), to.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * kMaxFds)> control{};
  msghdr message{};
  message.msg_iov = &into;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  ssize_t n = 0;
  do {
    n = ::recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  } while (n < 0 && errno == EINTR);
  if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return ReceiveResult::would_block;
  for (cmsghdr* c = n < 0 ? nullptr : CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int received = -1;
      std::memcpy(&received, CMSG_DATA(c) + i * sizeof(int), sizeof received);
      fds.emplace_back(received);
    }
  }
  if (n <= 0 || (message.msg_flags & MSG_TRUNC) != 0) return ReceiveResult::closed;
  bytes = static_cast<std::size_t>(n);
  return ReceiveResult::received;
}

}  // namespace crx::ipc
