#include "agent-src/collect/sockets/socket_options.hpp"

#include <linux/filter.h>
#include <net/if.h>
#include <sys/time.h>

#include <array>
#include <cerrno>

#include "common/base/error.hpp"
#include "common/kernel/sockets/socket_uapi.hpp"

namespace crx {
namespace {

constexpr char kSocketOptionsStep[] = "collecting socket options";
constexpr char kFilterReason[] = "it has an eBPF filter, which cannot be read";

timeval timeout_of(int fd, int name, const std::string& object) {
  timeval value{};
  socklen_t size = sizeof value;
  if (::getsockopt(fd, SOL_SOCKET, name, &value, &size) != 0) throw_errno(kSocketOptionsStep, object);
  return value;
}

int checked_int(int fd, int name, const std::string& object) {
  int value = 0;
  socklen_t size = sizeof value;
  if (::getsockopt(fd, SOL_SOCKET, name, &value, &size) != 0) throw_errno(kSocketOptionsStep, object);
  return value;
}

std::string bound_device(int fd) {
  char name[IFNAMSIZ] = {};
  socklen_t size = sizeof name;
  if (::getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, &size) != 0) return {};
  return std::string(name, ::strnlen(name, sizeof name));
}

// Returns the number of instructions of the socket's filter; -1 if it cannot be read.
int filter_length(int fd) {
  socklen_t count = 0;
  if (::getsockopt(fd, SOL_SOCKET, SO_GET_FILTER, nullptr, &count) != 0) return errno == EACCES ? -1 : 0;
  return static_cast<int>(count);
}

void read_filter(int fd, const std::string& object, img::sk_opts_entry& opts) {
  const int length = filter_length(fd);
  if (length < 0)
    throw Error(ErrorCode::refused, kSocketOptionsStep, object + ": " + kFilterReason).with_hint(kFilterRemedy);
  if (length == 0) return;
  std::vector<sock_filter> filter(static_cast<std::size_t>(length));
  auto count = static_cast<socklen_t>(length);
  if (::getsockopt(fd, SOL_SOCKET, SO_GET_FILTER, filter.data(), &count) != 0) throw_errno(kSocketOptionsStep, object);
  filter.resize(count);
  for (const sock_filter& instruction : filter) {
    opts.add_so_filter(uint64_t{instruction.code} << 48 | uint64_t{instruction.jt} << 40 |
                       uint64_t{instruction.jf} << 32 | instruction.k);
  }
}

void read_flags(int fd, img::sk_opts_entry& opts) {
  const auto flag = [&](int name) { return socket_int(fd, SOL_SOCKET, name) != 0; };
  opts.set_reuseaddr(flag(SO_REUSEADDR));
  opts.set_so_reuseport(flag(SO_REUSEPORT));
  opts.set_so_passcred(flag(SO_PASSCRED));
  opts.set_so_passsec(flag(SO_PASSSEC));
  opts.set_so_dontroute(flag(SO_DONTROUTE));
  opts.set_so_no_check(flag(SO_NO_CHECK));
  opts.set_so_broadcast(flag(SO_BROADCAST));
  opts.set_so_keepalive(flag(SO_KEEPALIVE));
  opts.set_so_oobinline(flag(SO_OOBINLINE) ? 1 : 0);
}

void read_plain(int fd, google::protobuf::RepeatedPtrField<img::crx_socket_option>& extra) {
  uint64_t new_timestamping = 0;
  for (const PlainSocketOption& option : kPlainSocketOptions) {
    uint64_t value = 0;
    auto size = static_cast<socklen_t>(option.bytes);
    if (::getsockopt(fd, SOL_SOCKET, option.name, &value, &size) != 0 || size != option.bytes) continue;
    if (value == option.usual) continue;
    // If the new form is set, the kernel returns the same value for the old one.
    if (option.name == SO_TIMESTAMPING_OLD) {
      socklen_t room = sizeof(int);
      int other = 0;
      if (::getsockopt(fd, SOL_SOCKET, SO_TIMESTAMPING_NEW, &other, &room) == 0)
        new_timestamping = static_cast<uint32_t>(other);
      if (new_timestamping != 0) continue;
    }
    img::crx_socket_option& entry = *extra.Add();
    entry.set_name(static_cast<uint32_t>(option.name));
    entry.set_value(std::string(reinterpret_cast<const char*>(&value), option.bytes));
  }
  if (socket_int(fd, SOL_SOCKET, SO_LOCK_FILTER) != 0) {
    const int one = 1;
    img::crx_socket_option& entry = *extra.Add();
    entry.set_name(SO_LOCK_FILTER);
    entry.set_value(std::string(reinterpret_cast<const char*>(&one), sizeof one));
  }
}

}  // namespace

int socket_int(int fd, int level, int name, int otherwise) {
  int value = 0;
  socklen_t size = sizeof value;
  return ::getsockopt(fd, level, name, &value, &size) == 0 ? value : otherwise;
}

std::string socket_option_problem(int fd) {
  return filter_length(fd) < 0 ? kFilterReason : std::string();
}

img::sk_opts_entry read_socket_options(int fd, const std::string& object,
                                       google::protobuf::RepeatedPtrField<img::crx_socket_option>& extra) {
  img::sk_opts_entry opts;
  opts.set_so_sndbuf(static_cast<uint32_t>(checked_int(fd, SO_SNDBUF, object)));
  opts.set_so_rcvbuf(static_cast<uint32_t>(checked_int(fd, SO_RCVBUF, object)));
  const timeval send = timeout_of(fd, SO_SNDTIMEO, object);
  const timeval receive = timeout_of(fd, SO_RCVTIMEO, object);
  opts.set_so_snd_tmo_sec(static_cast<uint64_t>(send.tv_sec));
  opts.set_so_snd_tmo_usec(static_cast<uint64_t>(send.tv_usec));
  opts.set_so_rcv_tmo_sec(static_cast<uint64_t>(receive.tv_sec));
  opts.set_so_rcv_tmo_usec(static_cast<uint64_t>(receive.tv_usec));
  read_flags(fd, opts);
  opts.set_so_priority(static_cast<uint32_t>(socket_int(fd, SOL_SOCKET, SO_PRIORITY)));
  opts.set_so_rcvlowat(static_cast<uint32_t>(socket_int(fd, SOL_SOCKET, SO_RCVLOWAT, 1)));
  opts.set_so_mark(static_cast<uint32_t>(socket_int(fd, SOL_SOCKET, SO_MARK)));
  opts.set_so_buf_lock(static_cast<uint32_t>(socket_int(fd, SOL_SOCKET, SO_BUF_LOCK)));
  const std::string device = bound_device(fd);
  if (!device.empty()) opts.set_so_bound_dev(device);
  linger linger{};
  socklen_t size = sizeof linger;
  if (::getsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, &size) == 0 && linger.l_onoff != 0) {
    opts.set_so_linger(static_cast<uint32_t>(linger.l_linger));
  }
  read_filter(fd, object, opts);
  read_plain(fd, extra);
  return opts;
}

img::sk_opts_entry read_socket_options(const OpenFile& file, FdContext& context) {
  google::protobuf::RepeatedPtrField<img::crx_socket_option> extra;
  img::sk_opts_entry opts = read_socket_options(file.own.get(), file.label(), extra);
  if (!extra.empty()) *context.extra(file).mutable_socket_options() = std::move(extra);
  return opts;
}

}  // namespace crx
