#include "agent-src/collect/sockets/unix_queue.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>

#include "common/base/error.hpp"
#include "common/base/mapping.hpp"
#include "common/base/page.hpp"
#include "common/kernel/sockets/socket_uapi.hpp"

namespace crx {
namespace {

constexpr char kUnixQueueStep[] = "looking into a socket's queue";
constexpr std::size_t kMaxRights = 253;  // SCM_MAX_FD
constexpr std::size_t kControlBytes = 4096;
constexpr std::size_t kFirstRoom = 4096;
static_assert(CMSG_SPACE(kMaxRights * sizeof(int)) + CMSG_SPACE(sizeof(ucred)) + 1024 < kControlBytes);

// Sets SO_PEEK_OFF while the queue is read, and restores it.
class PeekOffset {
 public:
  PeekOffset(int fd, const std::string& object) : fd_(fd), object_(object) {
    socklen_t size = sizeof before_;
    if (::getsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &before_, &size) != 0) throw_errno(kUnixQueueStep, object);
  }
  PeekOffset(const PeekOffset&) = delete;
  ~PeekOffset() {
    if (moved_) static_cast<void>(::setsockopt(fd_, SOL_SOCKET, SO_PEEK_OFF, &before_, sizeof before_));
  }
  bool is_on() const { return before_ >= 0; }
  void move_to(std::size_t bytes) {
    const int offset = static_cast<int>(bytes);
    moved_ = true;
    if (::setsockopt(fd_, SOL_SOCKET, SO_PEEK_OFF, &offset, sizeof offset) != 0) throw_errno(kUnixQueueStep, object_);
  }

 private:
  int fd_;
  const std::string& object_;
  int before_ = -1;
  bool moved_ = false;
};

void take_control(msghdr& message, UnixPacket& packet) {
  for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
    if (c->cmsg_level != SOL_SOCKET) continue;
    const std::size_t size = c->cmsg_len - CMSG_LEN(0);
    const unsigned char* data = CMSG_DATA(c);
    if (c->cmsg_type == SCM_RIGHTS) {
      for (std::size_t at = 0; at + sizeof(int) <= size; at += sizeof(int)) {
        int fd = -1;
        std::memcpy(&fd, data + at, sizeof fd);
        packet.rights.emplace_back(fd);
      }
    } else if (c->cmsg_type == SCM_CREDENTIALS && size >= sizeof(ucred)) {
      ucred credentials{};
      std::memcpy(&credentials, data, sizeof credentials);
      packet.credentials = credentials;
      // SCM_PIDFD (Linux 6.5): the kernel makes one for each look, so it is closed
    } else if (c->cmsg_type == 4 && size >= sizeof(int)) {
      int fd = -1;
      std::memcpy(&fd, data, sizeof fd);
      const Fd closed(fd);
    }
  }
}

struct Look {
  ssize_t bytes = -1;  // of the whole packet, even if the buffer is smaller; -1 with errno set
  UnixPacket packet;
};

Look peek(int fd, void* buffer, std::size_t room) {
  Look look;
  sockaddr_un source{};
  alignas(cmsghdr) char control[kControlBytes];
  iovec part{buffer, room};
  msghdr message{};
  message.msg_name = &source;
  message.msg_namelen = sizeof source;
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  look.bytes = ::recvmsg(fd, &message, MSG_PEEK | MSG_DONTWAIT | MSG_TRUNC | MSG_CMSG_CLOEXEC);
  if (look.bytes < 0) return look;
  take_control(message, look.packet);
  constexpr std::size_t kHead = offsetof(sockaddr_un, sun_path);
  if (message.msg_namelen > kHead && message.msg_namelen <= sizeof source) {
    look.packet.source.assign(source.sun_path, message.msg_namelen - kHead);
  }
  return look;
}

int queued_bytes(int fd, const std::string& object) {
  int queued = 0;
  if (::ioctl(fd, FIONREAD, &queued) != 0 && errno != EINVAL) throw_errno(kUnixQueueStep, object);
  return queued;
}

// Returns where the last packet begins among those that the kernel joins for a reader; passed descriptors come with
// that one. The kernel copies a packet as a whole or not at all: if the last one cannot be stored, it stops before it.
std::size_t start_of_last(int fd, PeekOffset& offset, std::size_t from, std::size_t bytes, const std::string& object) {
  if (bytes == 1) return 0;
  const std::size_t room = (bytes + kPageSize - 1) / kPageSize * kPageSize;
  const Mapping pages = Mapping::map(room + kPageSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
  if (::mprotect(pages.data() + room, kPageSize, PROT_NONE) != 0) throw_errno(kUnixQueueStep, object);
  offset.move_to(from);
  const Look look = peek(fd, pages.data() + room - (bytes - 1), bytes);
  if (look.bytes < 0 && errno != EFAULT) throw_errno(kUnixQueueStep, object);
  const std::size_t start = look.bytes < 0 ? 0 : static_cast<std::size_t>(look.bytes);
  if (start >= bytes) throw Error(ErrorCode::bug, kUnixQueueStep, object + ": its packets cannot be distinguished");
  return start;
}

std::vector<UnixPacket> peek_stream(int fd, const std::string& object) {
  std::vector<UnixPacket> packets;
  const auto queued = static_cast<std::size_t>(queued_bytes(fd, object));
  if (queued == 0) return packets;
  char urgent = 0;
  if (::recv(fd, &urgent, 1, MSG_OOB | MSG_PEEK | MSG_DONTWAIT) > 0) {
    throw Error(ErrorCode::refused, kUnixQueueStep, object + ": urgent data (MSG_OOB) waits in it")
        .with_hint("try again when the program has received it");
  }
  PeekOffset offset(fd, object);
  std::string buffer(queued, '\0');
  for (std::size_t done = 0; done < queued;) {
    // One look is mostly enough, and then the option is not changed.
    if (done > 0 || offset.is_on()) offset.move_to(done);
    Look look = peek(fd, buffer.data(), queued - done);
    if (look.bytes <= 0) {
      throw Error(ErrorCode::refused, kUnixQueueStep,
                  fmt::format("{}: {} of {} bytes in it cannot be looked at", object, queued - done, queued),
                  look.bytes < 0 ? errno : 0)
          .with_hint("try again when the program has received them");
    }
    const auto got = static_cast<std::size_t>(look.bytes);
    std::size_t start = 0;
    if (!look.packet.rights.empty()) start = start_of_last(fd, offset, done, got, object);
    if (start > 0) {
      UnixPacket plain;
      plain.bytes = buffer.substr(0, start);
      plain.credentials = look.packet.credentials;
      packets.push_back(std::move(plain));
    }
    look.packet.bytes = buffer.substr(start, got - start);
    look.packet.source.clear();
    packets.push_back(std::move(look.packet));
    done += got;
  }
  return packets;
}

std::vector<UnixPacket> peek_packets(int fd, int type, const std::string& object) {
  std::vector<UnixPacket> packets;
  pollfd state{fd, POLLIN, 0};
  if (::poll(&state, 1, 0) < 0) throw_errno(kUnixQueueStep, object);
  if ((state.revents & POLLIN) == 0) return packets;
  const auto queued = static_cast<std::size_t>(queued_bytes(fd, object));  // for datagrams: the size of the first one
  if ((state.revents & POLLERR) != 0) {
    // Reading would clear the error.
    if (queued == 0) return packets;
    throw Error(ErrorCode::refused, kUnixQueueStep,
                object + ": an error waits to be reported, before packets that cannot be looked at therefore")
        .with_hint("try again when the program has received them");
  }
  PeekOffset offset(fd, object);
  std::string buffer(std::max(queued, kFirstRoom), '\0');
  std::size_t done = 0;
  offset.move_to(0);
  while (true) {
    Look look = peek(fd, buffer.data(), buffer.size());
    if (look.bytes < 0 && errno == EAGAIN) return packets;
    if (look.bytes < 0) throw_errno(kUnixQueueStep, object);
    const auto got = static_cast<std::size_t>(look.bytes);
    if (got > buffer.size()) {
      buffer.resize(got);
      offset.move_to(done);
      continue;
    }
    // After shutdown(2) of the connection the kernel returns empty packets forever.
    if (got == 0 && type == SOCK_SEQPACKET && done >= queued) return packets;
    look.packet.bytes = buffer.substr(0, got);
    packets.push_back(std::move(look.packet));
    done += got;
  }
}

}  // namespace

std::vector<UnixPacket> peek_unix_queue(int fd, int type, const std::string& object) {
  return type == SOCK_STREAM ? peek_stream(fd, object) : peek_packets(fd, type, object);
}

bool has_pending_error(int fd) {
  pollfd state{fd, 0, 0};
  return ::poll(&state, 1, 0) > 0 && (state.revents & POLLERR) != 0;
}

}  // namespace crx
