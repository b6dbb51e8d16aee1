#include "agent-dst/restore/sockets/tcp_streams.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "agent-dst/restore/sockets/spoofed_packet.hpp"
#include "common/base/error.hpp"
#include "common/image/magic.hpp"

namespace crx {
namespace {

constexpr char kTcpStreamsStep[] = "restoring a TCP connection";
constexpr uint32_t kLongestQueue = 1u << 30;
constexpr int kHandshakeMs = 5'000;

std::string text_of(std::span<const std::byte> bytes) {
  return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

void await(int fd, short events, const char* what, const std::string& object) {
  pollfd poll{fd, events, 0};
  if (::poll(&poll, 1, kHandshakeMs) == 1) return;
  throw Error(ErrorCode::kernel, kTcpStreamsStep, fmt::format("{}: {}", object, what), ETIMEDOUT);
}

// Sets O_NONBLOCK while it exists.
class NonBlocking {
 public:
  explicit NonBlocking(int fd) : fd_(fd), flags_(::fcntl(fd, F_GETFL)) { ::fcntl(fd_, F_SETFL, flags_ | O_NONBLOCK); }
  NonBlocking(const NonBlocking&) = delete;
  NonBlocking& operator=(const NonBlocking&) = delete;
  ~NonBlocking() { ::fcntl(fd_, F_SETFL, flags_); }

 private:
  int fd_;
  int flags_;
};

InetAddress loopback(int family) {
  InetAddress address;
  address.family = family;
  if (family == AF_INET) {
    address.words[0] = htonl(INADDR_LOOPBACK);
  } else {
    address.words[3] = htonl(1);
  }
  return address;
}

}  // namespace

TcpStream load_stream(const img::inet_sk_entry& isk, const ImageSource& images) {
  ImageReader reader = images.reader(image_file::tcp_stream(isk.ino()));
  const auto entry = reader.expect<img::tcp_stream_entry>();
  if (entry.inq_len() > kLongestQueue || entry.outq_len() > kLongestQueue || entry.unsq_len() > entry.outq_len()) {
    reader.fail(fmt::format("queues of {}, {} and {} bytes", entry.inq_len(), entry.outq_len(), entry.unsq_len()));
  }
  TcpStream stream;
  stream.state = isk.state();
  stream.inq = text_of(reader.raw(entry.inq_len()));
  stream.outq = text_of(reader.raw(entry.outq_len()));
  reader.expect_end();
  stream.unsent = entry.unsq_len();
  stream.inq_seq = entry.inq_seq() - (tcp_state::got_fin(stream.state) ? 1 : 0);
  stream.outq_seq = entry.outq_seq() - (tcp_state::sent_fin(stream.state) ? 1 : 0);
  stream.options = entry.opt_mask();
  stream.snd_wscale = entry.snd_wscale();
  stream.rcv_wscale = entry.rcv_wscale();
  stream.mss_clamp = entry.mss_clamp();
  if (entry.has_timestamp()) stream.timestamp = entry.timestamp();
  if (entry.has_snd_wnd()) {
    stream.window = TcpWindow{entry.snd_wl1(), entry.snd_wnd(), entry.max_window(), entry.rcv_wnd(), entry.rcv_wup()};
  }
  return stream;
}

void resume_sending(int fd, const TcpStream& stream, const std::string& object) {
  std::string_view left = std::string_view(stream.outq).substr(stream.outq.size() - stream.unsent);
  while (!left.empty()) {
    const ssize_t put = ::send(fd, left.data(), left.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (put <= 0) throw_errno(kTcpStreamsStep, object + ": what was not sent yet");
    left.remove_prefix(static_cast<std::size_t>(put));
  }
  if (tcp_state::sent_fin(stream.state) && ::shutdown(fd, SHUT_WR) != 0) throw_errno(kTcpStreamsStep, object);
}

void replay_fin(const TcpStream& stream, const InetAddress& local, const InetAddress& peer, const std::string& object) {
  const uint32_t unacknowledged = stream.outq_seq - static_cast<uint32_t>(stream.outq.size());
  const uint32_t window = stream.window ? stream.window->snd_wnd >> std::min(stream.snd_wscale, 14u) : UINT16_MAX;
  send_spoofed_fin(peer.plain(), local.plain(), stream.inq_seq, unacknowledged,
                   static_cast<uint16_t>(std::min<uint32_t>(window, UINT16_MAX)), object);
}

TcpStream mirrored(const TcpStream& stream) {
  TcpStream other;
  other.inq_seq = stream.outq_seq - static_cast<uint32_t>(stream.outq.size());
  other.outq_seq = stream.inq_seq;
  other.options = stream.options;
  other.snd_wscale = stream.rcv_wscale;
  other.rcv_wscale = stream.snd_wscale;
  other.mss_clamp = stream.mss_clamp;
  other.timestamp = stream.timestamp;
  if (!stream.window) return other;
  const uint32_t out = std::max(stream.window->rcv_wnd, 1u);
  other.window = TcpWindow{other.inq_seq, out, out, stream.window->snd_wnd, other.inq_seq};
  return other;
}

void connect_here(int fd, const InetAddress& to, const std::string& object) {
  const NonBlocking guard(fd);
  const SocketAddress address = to_socket_address(to);
  if (::connect(fd, address.get(), address.length) == 0) return;
  if (errno != EINPROGRESS) throw_errno(kTcpStreamsStep, fmt::format("{}: connecting to {}", object, to.text()));
  await(fd, POLLOUT, "its listening socket does not answer", object);
  int error = 0;
  socklen_t length = sizeof error;
  if (::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0 || error != 0) {
    throw_errno(kTcpStreamsStep, fmt::format("{}: connecting to {}", object, to.text()), error);
  }
}

void make_ended(int fd, int family, const std::string& rest, const std::string& object) {
  const Fd listener(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const SocketAddress any = to_socket_address(loopback(family));
  if (!listener || ::bind(listener.get(), any.get(), any.length) != 0 || ::listen(listener.get(), 1) != 0)
    throw_errno(kTcpStreamsStep, object);
  connect_here(fd, local_address(listener.get(), object), object);
  Fd peer(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!peer) throw_errno(kTcpStreamsStep, object);
  if (rest.size() > 0) {
    const int room = static_cast<int>(std::min<std::size_t>(rest.size() * 2 + 65536, 1u << 30));
    static_cast<void>(::setsockopt(peer.get(), SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room));
    static_cast<void>(::setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room));
    if (::send(peer.get(), rest.data(), rest.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(rest.size()))
      throw_errno(kTcpStreamsStep, object);
  }
  peer.reset();
  await(fd, POLLRDHUP, "its end does not come", object);
  if (::shutdown(fd, SHUT_WR) != 0) throw_errno(kTcpStreamsStep, object);
}

}  // namespace crx
