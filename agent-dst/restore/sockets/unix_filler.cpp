#include "agent-dst/restore/sockets/unix_filler.hpp"

#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <csignal>
#include <cstring>
#include <optional>

#include "common/base/error.hpp"
#include "common/base/log.hpp"
#include "common/image/magic.hpp"
#include "common/image/schema/sockets.pb.h"
#include "common/kernel/process/child_process.hpp"

namespace crx {
namespace {

constexpr char kUnixFillerStep[] = "filling a socket's queue";
constexpr std::size_t kMaxRights = 253;  // SCM_MAX_FD
constexpr std::size_t kControlBytes = CMSG_SPACE(kMaxRights * sizeof(int)) + CMSG_SPACE(sizeof(ucred));

void append_control(msghdr& message, std::size_t& used, int type, const void* data, std::size_t bytes) {
  auto* header = reinterpret_cast<cmsghdr*>(static_cast<char*>(message.msg_control) + used);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = type;
  header->cmsg_len = CMSG_LEN(bytes);
  std::memcpy(CMSG_DATA(header), data, bytes);
  used += CMSG_SPACE(bytes);
}

// A process with this number, which does nothing; it ends with the object. If the number is taken, there is no such
// process.
std::optional<ChildProcess> make_namesake(pid_t pid) {
  if (pid <= 0) return std::nullopt;
  return ChildProcess::try_fork_idle({.wanted_pid = pid, .parent_death_signal = SIGKILL});
}

ssize_t send_once(int fd, const UnixAddress* to, std::span<const std::byte> bytes, const std::vector<int>& rights,
                  const ucred* who) {
  alignas(cmsghdr) char control[kControlBytes] = {};
  iovec part{const_cast<std::byte*>(bytes.data()), bytes.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (to != nullptr) {
    message.msg_name = const_cast<sockaddr_un*>(&to->address);
    message.msg_namelen = to->size;
  }
  message.msg_control = control;
  std::size_t used = 0;
  if (!rights.empty()) append_control(message, used, SCM_RIGHTS, rights.data(), rights.size() * sizeof(int));
  if (who != nullptr) append_control(message, used, SCM_CREDENTIALS, who, sizeof *who);
  message.msg_controllen = used;
  if (used == 0) message.msg_control = nullptr;
  return ::sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

ssize_t send_as(int fd, const UnixAddress* to, std::span<const std::byte> bytes, const std::vector<int>& rights,
                const ucred& who) {
  const ssize_t sent = send_once(fd, to, bytes, rights, &who);
  if (sent >= 0 || errno != ESRCH) return sent;
  const std::optional<ChildProcess> namesake = make_namesake(who.pid);
  return send_once(fd, to, bytes, rights, &who);
}

}  // namespace

std::map<uint32_t, std::vector<QueuedPacket>> read_socket_queues(const ImageSource& images) {
  std::map<uint32_t, std::vector<QueuedPacket>> queues;
  if (!images.contains(image_file::kSkQueues)) return queues;
  ImageReader reader = images.reader(image_file::kSkQueues);
  while (!reader.at_end()) {
    const auto entry = reader.expect<img::sk_packet_entry>();
    QueuedPacket packet;
    packet.bytes = reader.raw(entry.length());
    for (const img::scm_entry& scm : entry.scm()) {
      if (scm.type() != SCM_RIGHTS) reader.fail("ancillary data of a type that is not supported");
      packet.rights.insert(packet.rights.end(), scm.rights().begin(), scm.rights().end());
    }
    if (packet.rights.size() > kMaxRights) reader.fail("too many descriptors in one packet");
    queues[entry.id_for()].push_back(std::move(packet));
  }
  return queues;
}

std::set<uint32_t> ids_in_flight(const ImageSource& images) {
  std::set<uint32_t> ids;
  for (const auto& [id, packets] : read_socket_queues(images)) {
    for (const QueuedPacket& packet : packets) ids.insert(packet.rights.begin(), packet.rights.end());
  }
  return ids;
}

void widen_send_buffer(int fd, const std::string& object) {
  const int bytes = INT_MAX / 4;
  if (::setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes) == 0) return;
  if (errno != EPERM || ::setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes) != 0)
    throw_errno(kUnixFillerStep, object);
}

void send_packet(int fd, const UnixAddress* to, std::span<const std::byte> bytes, const std::vector<int>& rights,
                 const img::crx_ucred* who, const std::string& object) {
  // Packets without credentials show process 0.
  const bool known = who != nullptr && who->pid() > 0;
  std::size_t done = 0;
  do {
    const auto left = bytes.subspan(done);
    const std::vector<int> passed = done == 0 ? rights : std::vector<int>{};
    ssize_t sent = -1;
    if (known) {
      const ucred credentials{who->pid(), who->uid(), who->gid()};
      sent = send_as(fd, to, left, passed, credentials);
      if (sent < 0 && (errno == ESRCH || errno == EPERM)) {
        log::warn("{}: a packet in its queue cannot be sent in the name of process {} here", object, who->pid());
        sent = send_once(fd, to, left, passed, nullptr);
      }
    } else {
      sent = send_once(fd, to, left, passed, nullptr);
    }
    if (sent < 0 && errno == EAGAIN) {
      throw Error(ErrorCode::refused, kUnixFillerStep, object + ": what waits in it does not fit here", EAGAIN)
          .with_hint("raise net.unix.max_dgram_qlen and net.core.wmem_max here to what the source has");
    }
    if (sent < 0) throw_errno(kUnixFillerStep, object);
    done += static_cast<std::size_t>(sent);
  } while (done < bytes.size());
}

}  // namespace crx
