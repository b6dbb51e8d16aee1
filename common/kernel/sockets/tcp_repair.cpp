#include "common/kernel/sockets/tcp_repair.hpp"

#include <fmt/format.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <vector>

#include "common/base/error.hpp"
#include "common/base/scope_exit.hpp"

namespace crx {
namespace {

constexpr int kRepairOn = 1;
constexpr int kRepairOff = 0;
constexpr int kRepairOffSilent = -1;
constexpr int kNoQueue = 0, kReceiveQueue = 1, kSendQueue = 2;
// Option kinds of TCP_REPAIR_OPTIONS (the kernel's TCPOPT_ constants).
constexpr int kOptMss = 2, kOptWindow = 3, kOptSackPermitted = 4, kOptTimestamp = 8;
constexpr uint32_t kMaxWscale = 14;
constexpr std::size_t kLongestSegment = 512 * 1024;
constexpr std::size_t kAtOnce = 256 * 1024;
constexpr int kMaxBuffer = 1 << 30;

int get(int fd, int level, int name, const std::string& object, const char* what) {
  int value = 0;
  socklen_t length = sizeof value;
  if (::getsockopt(fd, level, name, &value, &length) != 0) throw_errno(what, object);
  return value;
}

void set(int fd, int level, int name, int value, const std::string& object, const char* what) {
  if (::setsockopt(fd, level, name, &value, sizeof value) != 0) throw_errno(what, object);
}

int ask(int fd, unsigned long request, const std::string& object) {
  int value = 0;
  if (::ioctl(fd, request, &value) != 0) throw_errno("reading a queue's length", object);
  return value;
}

// Peeks up to `room` bytes of the selected queue.
std::string peek(int fd, std::size_t room, const std::string& object) {
  std::string bytes(room, '\0');
  const ssize_t got = ::recv(fd, bytes.data(), bytes.size(), MSG_PEEK | MSG_DONTWAIT);
  if (got < 0 && errno != EAGAIN) throw_errno("reading a TCP queue", object);
  bytes.resize(static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
  return bytes;
}

// A peek would begin at the program's SO_PEEK_OFF position and advance it (Linux 6.9), so that option is switched off
// meanwhile.
void read_queues(int fd, TcpStream& stream, const std::string& object) {
  int peek_off = -1;
  socklen_t length = sizeof peek_off;
  static_cast<void>(::getsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &peek_off, &length));
  const ScopeExit restore([&] {
    if (peek_off >= 0) static_cast<void>(::setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &peek_off, sizeof peek_off));
  });
  if (peek_off >= 0) set(fd, SOL_SOCKET, SO_PEEK_OFF, -1, object, "setting the position in a TCP queue");
  const auto received = static_cast<std::size_t>(ask(fd, SIOCINQ, object));
  auto unacknowledged = static_cast<std::size_t>(ask(fd, SIOCOUTQ, object));
  auto unsent = static_cast<std::size_t>(ask(fd, SIOCOUTQNSD, object));
  set(fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, kReceiveQueue, object, "choosing a TCP queue");
  stream.inq_seq = static_cast<uint32_t>(get(fd, IPPROTO_TCP, TCP_QUEUE_SEQ, object, "reading a sequence number"));
  if (received > 0) stream.inq = peek(fd, received, object);
  if (stream.inq.size() != received) {
    throw Error(ErrorCode::kernel, "reading a TCP queue",
                fmt::format("{}: {} bytes of {}", object, stream.inq.size(), received));
  }
  set(fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, kSendQueue, object, "choosing a TCP queue");
  stream.outq_seq = static_cast<uint32_t>(get(fd, IPPROTO_TCP, TCP_QUEUE_SEQ, object, "reading a sequence number"));
  // A FIN occupies one sequence number, and is counted as unacknowledged or unsent.
  if (tcp_state::got_fin(stream.state)) --stream.inq_seq;
  if (tcp_state::sent_fin(stream.state)) {
    --stream.outq_seq;
    if (unacknowledged > 0) --unacknowledged;
    if (unsent > 0) --unsent;
  }
  if (unacknowledged > 0) {
    // The first segment may begin with bytes that have been acknowledged already.
    stream.outq = peek(fd, unacknowledged + kLongestSegment, object);
    if (stream.outq.size() < unacknowledged) {
      throw Error(ErrorCode::kernel, "reading a TCP queue",
                  fmt::format("{}: {} bytes of {}", object, stream.outq.size(), unacknowledged));
    }
    stream.outq.erase(0, stream.outq.size() - unacknowledged);
  }
  stream.unsent = static_cast<uint32_t>(std::min(unsent, stream.outq.size()));
  set(fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, kNoQueue, object, "choosing a TCP queue");
}

void read_parameters(int fd, TcpStream& stream, const std::string& object) {
  stream.mss_clamp = static_cast<uint32_t>(get(fd, IPPROTO_TCP, TCP_MAXSEG, object, "reading the segment size"));
  if ((stream.options & TCPI_OPT_TIMESTAMPS) != 0) {
    stream.timestamp = static_cast<uint32_t>(get(fd, IPPROTO_TCP, TCP_TIMESTAMP, object, "reading the timestamp"));
  }
  tcp_repair_window window{};
  socklen_t length = sizeof window;
  if (::getsockopt(fd, IPPROTO_TCP, TCP_REPAIR_WINDOW, &window, &length) == 0) {
    stream.window = TcpWindow{window.snd_wl1, window.snd_wnd, window.max_window, window.rcv_wnd, window.rcv_wup};
  }
}

void raise_buffers(int fd, std::size_t in, std::size_t out) {
  // Twice the size for the kernel's overhead, and some reserve. Best effort: filling a queue that is too small fails
  // later.
  const auto room = [](std::size_t bytes) {
    return static_cast<int>(std::min<std::size_t>(bytes * 2 + 65536, kMaxBuffer));
  };
  const int rcv = room(in), snd = room(out);
  static_cast<void>(::setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &rcv, sizeof rcv));
  static_cast<void>(::setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &snd, sizeof snd));
}

void fill(int fd, int queue, std::string_view bytes, const std::string& object) {
  set(fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, queue, object, "choosing a TCP queue");
  while (!bytes.empty()) {
    const ssize_t put = ::send(fd, bytes.data(), std::min(bytes.size(), kAtOnce), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (put <= 0) throw_errno("filling a TCP queue", object);
    bytes.remove_prefix(static_cast<std::size_t>(put));
  }
}

void set_options(int fd, const TcpStream& stream, const std::string& object) {
  std::vector<tcp_repair_opt> options;
  if (stream.mss_clamp != 0) options.push_back({kOptMss, stream.mss_clamp});
  if ((stream.options & TCPI_OPT_WSCALE) != 0) {
    options.push_back(
        {kOptWindow, std::min(stream.snd_wscale, kMaxWscale) | (std::min(stream.rcv_wscale, kMaxWscale) << 16)});
  }
  if ((stream.options & TCPI_OPT_SACK) != 0) options.push_back({kOptSackPermitted, 0});
  if ((stream.options & TCPI_OPT_TIMESTAMPS) != 0) options.push_back({kOptTimestamp, 0});
  const auto bytes = static_cast<socklen_t>(options.size() * sizeof(tcp_repair_opt));
  if (::setsockopt(fd, IPPROTO_TCP, TCP_REPAIR_OPTIONS, options.data(), bytes) != 0) {
    throw_errno("setting a connection's options", object);
  }
  if (stream.timestamp && (stream.options & TCPI_OPT_TIMESTAMPS) != 0) {
    set(fd, IPPROTO_TCP, TCP_TIMESTAMP, static_cast<int>(*stream.timestamp), object, "setting the timestamp");
  }
}

}  // namespace

namespace tcp_state {

bool sent_fin(uint32_t state) noexcept {
  return state == kFinWait1 || state == kFinWait2 || state == kClosing || state == kLastAck;
}
bool got_fin(uint32_t state) noexcept {
  return state == kCloseWait || state == kLastAck || state == kClosing;
}
bool fin_acknowledged(uint32_t state) noexcept {
  return state == kFinWait2;
}
bool is_connected(uint32_t state) noexcept {
  return state == kEstablished || sent_fin(state) || got_fin(state);
}

}  // namespace tcp_state

TcpInfo tcp_info(int fd, const std::string& object) {
  const std::optional<TcpInfo> info = try_tcp_info(fd);
  if (!info) throw_errno("reading a connection's state", object);
  return *info;
}

std::optional<TcpInfo> try_tcp_info(int fd) {
  ::tcp_info info{};
  socklen_t length = sizeof info;
  if (::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) != 0) return std::nullopt;
  TcpInfo out;
  out.state = info.tcpi_state;
  out.options = info.tcpi_options;
  out.snd_wscale = info.tcpi_snd_wscale;
  out.rcv_wscale = info.tcpi_rcv_wscale;
  if (out.state == tcp_state::kListen) {
    out.waiting = info.tcpi_unacked;
    out.backlog = info.tcpi_sacked;
  }
  return out;
}

void enter_repair(int fd, const std::string& object) {
  const int on = kRepairOn;
  if (::setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &on, sizeof on) == 0) return;
  const int err = errno;
  if (err == EPERM) {
    throw Error(ErrorCode::unsupported, "repairing a TCP connection", object + ": not allowed", err)
        .with_hint("run the agent with CAP_NET_ADMIN");
  }
  throw_errno("repairing a TCP connection", object, err);
}

void leave_repair(int fd, bool probe, const std::string& object) {
  set(fd, IPPROTO_TCP, TCP_REPAIR, probe ? kRepairOff : kRepairOffSilent, object, "leaving TCP repair mode");
}

TcpStream read_stream(int fd, const std::string& object) {
  TcpStream stream;
  const TcpInfo info = tcp_info(fd, object);
  stream.state = info.state;
  stream.options = info.options;
  stream.snd_wscale = info.snd_wscale;
  stream.rcv_wscale = info.rcv_wscale;
  // Repair mode uses SO_REUSEADDR for itself and leaves it switched off.
  const int reuse = get(fd, SOL_SOCKET, SO_REUSEADDR, object, "reading a socket option");
  enter_repair(fd, object);
  const ScopeExit leave([&] {
    const int queue = kNoQueue, off = kRepairOffSilent;
    static_cast<void>(::setsockopt(fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, &queue, sizeof queue));
    static_cast<void>(::setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &off, sizeof off));
    static_cast<void>(::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof reuse));
  });
  read_queues(fd, stream, object);
  read_parameters(fd, stream, object);
  return stream;
}

void make_stream(int fd, const TcpStream& stream, const InetAddress& peer, const std::string& object) {
  if (stream.unsent > stream.outq.size()) {
    throw Error(ErrorCode::corrupt_image, "restoring a TCP connection",
                fmt::format("{}: {} of {} bytes are not sent", object, stream.unsent, stream.outq.size()));
  }
  raise_buffers(fd, stream.inq.size(), stream.outq.size());
  const auto begin = [&](int queue, uint32_t seq) {
    set(fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, queue, object, "choosing a TCP queue");
    set(fd, IPPROTO_TCP, TCP_QUEUE_SEQ, static_cast<int>(seq), object, "setting a sequence number");
  };
  begin(kReceiveQueue, stream.inq_seq - static_cast<uint32_t>(stream.inq.size()));
  begin(kSendQueue, stream.outq_seq - static_cast<uint32_t>(stream.outq.size()));
  const SocketAddress to = to_socket_address(peer);
  if (::connect(fd, to.get(), to.length) != 0) throw_errno("restoring a TCP connection", object);
  set_options(fd, stream, object);
  fill(fd, kReceiveQueue, stream.inq, object);
  fill(fd, kSendQueue, std::string_view(stream.outq).substr(0, stream.outq.size() - stream.unsent), object);
  set(fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, kNoQueue, object, "choosing a TCP queue");
  if (!stream.window) return;
  const TcpWindow& window = *stream.window;
  // After a FIN rcv_wup may be one more than inq_seq. This socket has not received the FIN yet, so it gets inq_seq.
  const bool past = static_cast<int32_t>(window.rcv_wup - stream.inq_seq) > 0;
  const tcp_repair_window value{window.snd_wl1, window.snd_wnd, window.max_window, window.rcv_wnd,
                                past ? stream.inq_seq : window.rcv_wup};
  if (::setsockopt(fd, IPPROTO_TCP, TCP_REPAIR_WINDOW, &value, sizeof value) != 0) {
    throw_errno("setting a connection's window", object);
  }
}

}  // namespace crx
