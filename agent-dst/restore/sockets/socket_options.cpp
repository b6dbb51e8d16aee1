#include "agent-dst/restore/sockets/socket_options.hpp"

#include <fmt/format.h>
#include <linux/filter.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/time.h>

#include <cerrno>
#include <climits>
#include <vector>

#include "common/base/error.hpp"
#include "common/base/log.hpp"
#include "common/kernel/sockets/socket_uapi.hpp"

namespace crx {
namespace {

constexpr char kSocketOptionsStep[] = "restoring socket options";
constexpr int kMaxFilter = BPF_MAXINSNS;

int current(int fd, int name) {
  int value = 0;
  socklen_t size = sizeof value;
  return ::getsockopt(fd, SOL_SOCKET, name, &value, &size) == 0 ? value : 0;
}

[[noreturn]] void fail(const char* word, const std::string& value, const std::string& object) {
  const int err = errno;
  Error error(ErrorCode::refused, kSocketOptionsStep,
              fmt::format("{}: {} cannot be set to {} here", object, word, value), err);
  if (err == EPERM || err == EACCES) throw std::move(error).with_hint("run the destination's agent with CAP_NET_ADMIN");
  throw error;
}

void set_if_other(int fd, int name, uint32_t value, const char* word, const std::string& object) {
  if (static_cast<uint32_t>(current(fd, name)) == value) return;
  set_socket_int(fd, SOL_SOCKET, name, static_cast<int>(value), word, object);
}

void set_timeout(int fd, int name, uint64_t sec, uint64_t usec, const char* word, const std::string& object) {
  if (sec > INT64_MAX || usec >= 1'000'000)
    throw Error(ErrorCode::corrupt_image, kSocketOptionsStep, fmt::format("{}: {}", object, word));
  const timeval value{static_cast<time_t>(sec), static_cast<suseconds_t>(usec)};
  if (::setsockopt(fd, SOL_SOCKET, name, &value, sizeof value) != 0) fail(word, fmt::format("{} s", sec), object);
}

// value: as the kernel reports it, which is twice the requested size.
void set_buffer(int fd, int name, int forced, uint32_t value, const char* word, const char* sysctl,
                const std::string& object) {
  if (value > INT_MAX)
    throw Error(ErrorCode::corrupt_image, kSocketOptionsStep, fmt::format("{}: {} of {}", object, word, value));
  if (static_cast<uint32_t>(current(fd, name)) == value) return;
  const int half = static_cast<int>(value / 2);
  if (::setsockopt(fd, SOL_SOCKET, forced, &half, sizeof half) != 0) {
    set_socket_int(fd, SOL_SOCKET, name, half, word, object);
  }
  const int now = current(fd, name);
  if (static_cast<uint32_t>(now) < value / 2 * 2) {
    log::warn("{}: {} stays {} instead of {}; raise {}", object, word, now, value, sysctl);
  }
}

void set_buffers(int fd, const img::sk_opts_entry& opts, const std::string& object) {
  set_buffer(fd, SO_SNDBUF, SO_SNDBUFFORCE, opts.so_sndbuf(), "SO_SNDBUF", "net.core.wmem_max", object);
  set_buffer(fd, SO_RCVBUF, SO_RCVBUFFORCE, opts.so_rcvbuf(), "SO_RCVBUF", "net.core.rmem_max", object);
  // Setting a size locks it (SO_BUF_LOCK); sizes that the kernel may still tune are unlocked again.
  if (opts.has_so_buf_lock()) set_if_other(fd, SO_BUF_LOCK, opts.so_buf_lock() & 3, "SO_BUF_LOCK", object);
}

void set_device(int fd, const img::sk_opts_entry& opts, const std::string& object) {
  const std::string& device = opts.so_bound_dev();
  if (device.empty()) return;
  if (device.size() >= IFNAMSIZ)
    throw Error(ErrorCode::corrupt_image, kSocketOptionsStep, object + ": its device's name is too long");
  if (::setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, device.c_str(), static_cast<socklen_t>(device.size())) == 0) return;
  throw Error(ErrorCode::refused, kSocketOptionsStep,
              fmt::format("{}: it is bound to the network device {}", object, device), errno)
      .with_hint("make a device of this name here");
}

void set_filter(int fd, const img::sk_opts_entry& opts, const std::string& object) {
  if (opts.so_filter_size() == 0) return;
  if (opts.so_filter_size() > kMaxFilter)
    throw Error(ErrorCode::corrupt_image, kSocketOptionsStep, object + ": its filter is too long");
  std::vector<sock_filter> filter(static_cast<std::size_t>(opts.so_filter_size()));
  for (std::size_t i = 0; i < filter.size(); ++i) {
    const uint64_t word = opts.so_filter(static_cast<int>(i));
    filter[i] = {static_cast<uint16_t>(word >> 48), static_cast<uint8_t>(word >> 40), static_cast<uint8_t>(word >> 32),
                 static_cast<uint32_t>(word)};
  }
  const sock_fprog program{static_cast<unsigned short>(filter.size()), filter.data()};
  if (::setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) != 0)
    fail("SO_ATTACH_FILTER", "its filter", object);
}

void set_extra(int fd, const google::protobuf::RepeatedPtrField<img::crx_socket_option>& extra,
               const std::string& object) {
  const auto known = [](uint32_t name) -> const PlainSocketOption* {
    static constexpr PlainSocketOption kLock{SO_LOCK_FILTER, "SO_LOCK_FILTER", 4, 0};
    if (name == SO_LOCK_FILTER) return &kLock;
    for (const PlainSocketOption& option : kPlainSocketOptions) {
      if (static_cast<uint32_t>(option.name) == name) return &option;
    }
    return nullptr;
  };
  for (const img::crx_socket_option& entry : extra) {
    const PlainSocketOption* option = known(entry.name());
    if (option == nullptr || entry.value().size() != option->bytes) {
      throw Error(ErrorCode::corrupt_image, kSocketOptionsStep,
                  fmt::format("{}: option {} is none", object, entry.name()));
    }
    std::string now(option->bytes, '\0');
    auto size = static_cast<socklen_t>(now.size());
    if (::getsockopt(fd, SOL_SOCKET, option->name, now.data(), &size) == 0 && now == entry.value()) continue;
    if (::setsockopt(fd, SOL_SOCKET, option->name, entry.value().data(), size) != 0)
      fail(option->word, "its value", object);
  }
}

}  // namespace

void set_socket_int(int fd, int level, int name, int value, const char* word, const std::string& object) {
  if (::setsockopt(fd, level, name, &value, sizeof value) != 0) fail(word, std::to_string(value), object);
}

void set_address_options(int fd, const img::sk_opts_entry& opts, const std::string& object) {
  set_if_other(fd, SO_REUSEADDR, opts.reuseaddr() ? 1 : 0, "SO_REUSEADDR", object);
  set_if_other(fd, SO_REUSEPORT, opts.so_reuseport() ? 1 : 0, "SO_REUSEPORT", object);
  set_if_other(fd, SO_MARK, opts.so_mark(), "SO_MARK", object);
  set_device(fd, opts, object);
}

void set_socket_options(int fd, const img::sk_opts_entry& opts,
                        const google::protobuf::RepeatedPtrField<img::crx_socket_option>& extra,
                        const std::string& object) {
  set_address_options(fd, opts, object);
  set_buffers(fd, opts, object);
  set_timeout(fd, SO_SNDTIMEO, opts.so_snd_tmo_sec(), opts.so_snd_tmo_usec(), "SO_SNDTIMEO", object);
  set_timeout(fd, SO_RCVTIMEO, opts.so_rcv_tmo_sec(), opts.so_rcv_tmo_usec(), "SO_RCVTIMEO", object);
  if (opts.has_so_priority()) set_if_other(fd, SO_PRIORITY, opts.so_priority(), "SO_PRIORITY", object);
  if (opts.has_so_rcvlowat()) set_if_other(fd, SO_RCVLOWAT, opts.so_rcvlowat(), "SO_RCVLOWAT", object);
  set_if_other(fd, SO_PASSCRED, opts.so_passcred() ? 1 : 0, "SO_PASSCRED", object);
  set_if_other(fd, SO_PASSSEC, opts.so_passsec() ? 1 : 0, "SO_PASSSEC", object);
  set_if_other(fd, SO_DONTROUTE, opts.so_dontroute() ? 1 : 0, "SO_DONTROUTE", object);
  set_if_other(fd, SO_NO_CHECK, opts.so_no_check() ? 1 : 0, "SO_NO_CHECK", object);
  set_if_other(fd, SO_BROADCAST, opts.so_broadcast() ? 1 : 0, "SO_BROADCAST", object);
  set_if_other(fd, SO_KEEPALIVE, opts.so_keepalive() ? 1 : 0, "SO_KEEPALIVE", object);
  set_if_other(fd, SO_OOBINLINE, opts.so_oobinline() != 0 ? 1 : 0, "SO_OOBINLINE", object);
  // Older images have these here, newer ones in tcp_opts_entry.
  if (opts.has_tcp_keepcnt())
    set_socket_int(fd, IPPROTO_TCP, TCP_KEEPCNT, static_cast<int>(opts.tcp_keepcnt()), "TCP_KEEPCNT", object);
  if (opts.has_tcp_keepidle())
    set_socket_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, static_cast<int>(opts.tcp_keepidle()), "TCP_KEEPIDLE", object);
  if (opts.has_tcp_keepintvl())
    set_socket_int(fd, IPPROTO_TCP, TCP_KEEPINTVL, static_cast<int>(opts.tcp_keepintvl()), "TCP_KEEPINTVL", object);
  if (opts.has_so_linger()) {
    const linger value{1, static_cast<int>(opts.so_linger() & INT_MAX)};
    if (::setsockopt(fd, SOL_SOCKET, SO_LINGER, &value, sizeof value) != 0)
      fail("SO_LINGER", std::to_string(value.l_linger), object);
  }
  set_filter(fd, opts, object);
  set_extra(fd, extra, object);
}

}  // namespace crx
