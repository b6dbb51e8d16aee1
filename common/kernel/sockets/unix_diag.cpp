#include "common/kernel/sockets/unix_diag.hpp"

#include <linux/unix_diag.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>

#include <cerrno>
#include <cstring>

#include "common/base/error.hpp"
#include "common/kernel/sockets/sock_diag.hpp"

namespace crx {
namespace {

constexpr char kUnixDiagStep[] = "listing unix sockets";
constexpr uint32_t kEverything =
    UDIAG_SHOW_NAME | UDIAG_SHOW_VFS | UDIAG_SHOW_PEER | UDIAG_SHOW_ICONS | UDIAG_SHOW_RQLEN;

// Converts the kernel's internal dev_t: 12 bits of major number above 20 bits of minor number.
dev_t from_kernel_dev(uint32_t dev) {
  return ::makedev(dev >> 20, dev & 0xfffff);
}

void take_attribute(int type, DiagBytes content, UnixSocketInfo& info) {
  switch (type) {
    case UNIX_DIAG_NAME:
      info.named = true;
      info.name.assign(reinterpret_cast<const char*>(content.data()), content.size());
      break;
    case UNIX_DIAG_VFS: {
      const auto vfs = diag_cast<unix_diag_vfs>(content);
      info.has_file = true;
      info.file_inode = vfs.udiag_vfs_ino;
      info.file_dev = from_kernel_dev(vfs.udiag_vfs_dev);
      break;
    }
    case UNIX_DIAG_PEER:
      info.peer = diag_cast<uint32_t>(content);
      break;
    case UNIX_DIAG_ICONS:
      info.waiting.resize(content.size() / sizeof(uint32_t));
      if (!info.waiting.empty())
        std::memcpy(info.waiting.data(), content.data(), info.waiting.size() * sizeof(uint32_t));
      break;
    case UNIX_DIAG_RQLEN: {
      const auto lengths = diag_cast<unix_diag_rqlen>(content);
      info.receive_queue = lengths.udiag_rqueue;
      info.send_queue = lengths.udiag_wqueue;
      break;
    }
    case UNIX_DIAG_SHUTDOWN:
      info.shutdown = diag_cast<uint8_t>(content);
      break;
    default:
      break;
  }
}

UnixSocketInfo parse_unix(DiagBytes answer) {
  UnixSocketInfo info;
  const auto message = diag_cast<unix_diag_msg>(answer);
  info.inode = message.udiag_ino;
  info.type = message.udiag_type;
  info.state = message.udiag_state;
  info.cookie = uint64_t{message.udiag_cookie[1]} << 32 | message.udiag_cookie[0];
  each_diag_attribute(answer, sizeof message,
                      [&](int type, DiagBytes content) { take_attribute(type, content, info); });
  return info;
}

[[noreturn]] void fail(int err) {
  if (err == EPROTONOSUPPORT || err == ENOENT || err == EINVAL) {
    throw Error(ErrorCode::unsupported, kUnixDiagStep, "this kernel has no unix_diag", err)
        .with_hint("load the module unix_diag (CONFIG_UNIX_DIAG)");
  }
  throw_errno(kUnixDiagStep, "NETLINK_SOCK_DIAG", err);
}

std::vector<UnixSocketInfo> list_in(uint32_t states) {
  unix_diag_req request{};
  request.sdiag_family = AF_UNIX;
  request.udiag_states = states;
  request.udiag_show = kEverything;
  std::vector<UnixSocketInfo> all;
  if (const int err = SockDiag().list(request, [&](DiagBytes answer) { all.push_back(parse_unix(answer)); }); err != 0)
    fail(err);
  return all;
}

}  // namespace

std::vector<UnixSocketInfo> list_unix_sockets() {
  return list_in(UINT32_MAX);
}
std::vector<UnixSocketInfo> list_listening_unix_sockets() {
  return list_in(1U << kSocketListening);
}

std::optional<UnixSocketInfo> find_unix_socket(uint32_t inode) {
  if (inode == 0) return std::nullopt;
  unix_diag_req request{};
  request.sdiag_family = AF_UNIX;
  request.udiag_states = UINT32_MAX;
  request.udiag_ino = inode;
  request.udiag_show = kEverything;
  request.udiag_cookie[0] = request.udiag_cookie[1] = UINT32_MAX;  // INET_DIAG_NOCOOKIE
  std::optional<UnixSocketInfo> found;
  const int err = SockDiag().find(request, [&](DiagBytes answer) { found = parse_unix(answer); });
  if (err != 0 && err != ENOENT && err != ESTALE) fail(err);
  return found;
}

}  // namespace crx
