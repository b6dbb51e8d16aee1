#include "common/kernel/sock_diag.hpp"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <functional>

#include "common/base/error.hpp"
#include "common/base/fd.hpp"

namespace crx {
namespace {

constexpr char kStep[] = "listing unix sockets";
constexpr std::size_t kBufferBytes = std::size_t{1} << 18;
constexpr uint32_t kEverything = UDIAG_SHOW_NAME | UDIAG_SHOW_VFS | UDIAG_SHOW_PEER | UDIAG_SHOW_ICONS | UDIAG_SHOW_RQLEN;

// The kernel's own dev_t: 12 bits of major number above 20 of minor.
dev_t from_kernel_dev(uint32_t dev) { return ::makedev(dev >> 20, dev & 0xfffff); }

template <typename T>
T read_as(const rtattr* attribute) {
  T value{};
  std::memcpy(&value, RTA_DATA(attribute), std::min<std::size_t>(sizeof value, RTA_PAYLOAD(attribute)));
  return value;
}

void take_attribute(const rtattr* attribute, UnixSocketInfo& info) {
  const auto* bytes = static_cast<const char*>(RTA_DATA(attribute));
  const std::size_t size = RTA_PAYLOAD(attribute);
  switch (attribute->rta_type) {
    case UNIX_DIAG_NAME:
      info.named = true;
      info.name.assign(bytes, size);
      break;
    case UNIX_DIAG_VFS: {
      const auto vfs = read_as<unix_diag_vfs>(attribute);
      info.has_file = true;
      info.file_inode = vfs.udiag_vfs_ino;
      info.file_dev = from_kernel_dev(vfs.udiag_vfs_dev);
      break;
    }
    case UNIX_DIAG_PEER: info.peer = read_as<uint32_t>(attribute); break;
    case UNIX_DIAG_ICONS:
      info.waiting.resize(size / sizeof(uint32_t));
      if (!info.waiting.empty()) std::memcpy(info.waiting.data(), bytes, info.waiting.size() * sizeof(uint32_t));
      break;
    case UNIX_DIAG_RQLEN: {
      const auto lengths = read_as<unix_diag_rqlen>(attribute);
      info.receive_queue = lengths.udiag_rqueue;
      info.send_queue = lengths.udiag_wqueue;
      break;
    }
    case UNIX_DIAG_SHUTDOWN: info.shutdown = read_as<uint8_t>(attribute); break;
    default: break;
  }
}

UnixSocketInfo parse(const nlmsghdr* header) {
  UnixSocketInfo info;
  const auto* message = static_cast<const unix_diag_msg*>(NLMSG_DATA(header));
  info.inode = message->udiag_ino;
  info.type = message->udiag_type;
  info.state = message->udiag_state;
  info.cookie = uint64_t{message->udiag_cookie[1]} << 32 | message->udiag_cookie[0];
  auto left = static_cast<int>(header->nlmsg_len - NLMSG_LENGTH(sizeof *message));
  const auto* attribute = reinterpret_cast<const rtattr*>(message + 1);
  for (; RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left)) take_attribute(attribute, info);
  return info;
}

[[noreturn]] void fail(int err) {
  if (err == EPROTONOSUPPORT || err == ENOENT || err == EINVAL) {
    throw Error(ErrorCode::unsupported, kStep, "this kernel has no unix_diag", err).with_hint("load or build in unix_diag (CONFIG_UNIX_DIAG)");
  }
  throw_errno(kStep, "NETLINK_SOCK_DIAG", err);
}

// Sends one request and gives every answer to `visit`. False when the kernel answers ENOENT to a single request.
bool ask(const unix_diag_req& request, bool dump, const std::function<void(UnixSocketInfo&&)>& visit) {
  const Fd netlink(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
  if (!netlink) fail(errno);
  struct {
    nlmsghdr header;
    unix_diag_req body;
  } message{};
  message.header.nlmsg_len = sizeof message;
  message.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  message.header.nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | (dump ? NLM_F_DUMP : 0));
  message.body = request;
  if (::send(netlink.get(), &message, sizeof message, 0) != static_cast<ssize_t>(sizeof message)) fail(errno);
  std::vector<char> buffer(kBufferBytes);
  while (true) {
    const ssize_t got = ::recv(netlink.get(), buffer.data(), buffer.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail(errno);
    auto left = static_cast<unsigned>(got);
    for (const auto* header = reinterpret_cast<const nlmsghdr*>(buffer.data()); NLMSG_OK(header, left); header = NLMSG_NEXT(header, left)) {
      if (header->nlmsg_type == NLMSG_DONE) return true;
      if (header->nlmsg_type == NLMSG_ERROR) {
        const int err = -static_cast<const nlmsgerr*>(NLMSG_DATA(header))->error;
        if (!dump && (err == ENOENT || err == ESTALE)) return false;
        fail(err);
      }
      if (header->nlmsg_type == SOCK_DIAG_BY_FAMILY) visit(parse(header));
      if (!dump) return true;
    }
  }
}

std::vector<UnixSocketInfo> list_in(uint32_t states) {
  unix_diag_req request{};
  request.sdiag_family = AF_UNIX;
  request.udiag_states = states;
  request.udiag_show = kEverything;
  std::vector<UnixSocketInfo> all;
  ask(request, true, [&](UnixSocketInfo&& info) { all.push_back(std::move(info)); });
  return all;
}

}  // namespace

std::vector<UnixSocketInfo> list_unix_sockets() { return list_in(UINT32_MAX); }
std::vector<UnixSocketInfo> list_listening_unix_sockets() { return list_in(1U << kSocketListening); }

std::optional<UnixSocketInfo> find_unix_socket(uint32_t inode) {
  if (inode == 0) return std::nullopt;
  unix_diag_req request{};
  request.sdiag_family = AF_UNIX;
  request.udiag_states = UINT32_MAX;
  request.udiag_ino = inode;
  request.udiag_show = kEverything;
  request.udiag_cookie[0] = request.udiag_cookie[1] = UINT32_MAX;  // INET_DIAG_NOCOOKIE
  std::optional<UnixSocketInfo> found;
  ask(request, false, [&](UnixSocketInfo&& info) { found = std::move(info); });
  return found;
}

}  // namespace crx
