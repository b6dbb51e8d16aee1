#include "agent-src/collect/sockets/tcp_sockets.hpp"

#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <span>

#include "common/base/error.hpp"
#include "common/base/log.hpp"
#include "common/image/magic.hpp"
#include "common/kernel/sockets/tcp_repair.hpp"

namespace crx {
namespace {

constexpr uint32_t kShutNone = 0, kShutRead = 1, kShutWrite = 2, kShutBoth = 3;
constexpr char kTcpAgain[] = "try again";
constexpr char kMptcpReason[] = "it is an MPTCP connection, which cannot be moved";
constexpr char kMptcpRemedy[] = "let the program use plain TCP (GODEBUG=multipathtcp=0 for Go)";
constexpr char kUlpReason[] = "the kernel does its TLS or the like (TCP_ULP), and its keys cannot be read";
constexpr char kUlpRemedy[] = "let the program do TLS by itself";

constexpr char kSignedReason[] = "it signs its segments (TCP_MD5SIG), and its keys cannot be moved";
constexpr char kSignedRemedy[] = "let the program take the keys back, or protect the connection by IPsec or TLS";

constexpr std::size_t kFirstPeek = std::size_t{64} << 10;
constexpr std::size_t kLargestPeek = std::size_t{64} << 20;  // more than a receive buffer has

struct Complaint {
  std::string reason, remedy;
};

bool has_ulp(int fd) {
  char name[32] = {};
  socklen_t length = sizeof name;
  return ::getsockopt(fd, IPPROTO_TCP, TCP_ULP, name, &length) == 0 && length > 0 && name[0] != 0;
}

std::string connection_text(const InetSocketInfo& look) {
  return fmt::format("it is a TCP connection from {} to {}", look.local.text(),
                     look.peer ? look.peer->text() : "nowhere");
}

// For a connection whose other end is not in the tree.
std::optional<Complaint> outside_complaint(const InetSocketInfo& look, const CollectOptions& options) {
  const bool here = look.peer->is_loopback() || look.peer->plain().words == look.local.plain().words;
  if (here && !options.same_host) {
    return Complaint{connection_text(look) + ", whose other end is on this host and not in the program",
                     "end the connection, or move both ends together"};
  }
  if (options.tcp_established) return std::nullopt;
  std::string remedy = "use --tcp-established";
  if (!here) remedy += fmt::format(", and move the address {} along with a --hook", look.local.host_text());
  return Complaint{connection_text(look) + ", whose other end is outside the program", std::move(remedy)};
}

// Returns all that can be read from the socket, and leaves it there.
std::string peek_all(int fd) {
  std::string bytes;
  for (std::size_t size = kFirstPeek; size <= kLargestPeek; size *= 4) {
    bytes.resize(size);
    const ssize_t got = ::recv(fd, bytes.data(), size, MSG_PEEK | MSG_DONTWAIT);
    bytes.resize(static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
    if (bytes.size() < size) break;
  }
  return bytes;
}

uint32_t shutdown_of(uint32_t state, int fd) {
  pollfd poll{fd, POLLRDHUP, 0};
  static_cast<void>(::poll(&poll, 1, 0));
  const bool read = tcp_state::got_fin(state) || (poll.revents & POLLRDHUP) != 0;
  const bool write = tcp_state::sent_fin(state);
  return read ? (write ? kShutBoth : kShutRead) : write ? kShutWrite : kShutNone;
}

img::tcp_stream_entry to_entry(const TcpStream& stream, const img::tcp_opts_entry& options) {
  img::tcp_stream_entry entry;
  entry.set_inq_len(static_cast<uint32_t>(stream.inq.size()));
  entry.set_outq_len(static_cast<uint32_t>(stream.outq.size()));
  // CRIU's format counts the sequence number of a FIN.
  entry.set_inq_seq(stream.inq_seq + (tcp_state::got_fin(stream.state) ? 1 : 0));
  entry.set_outq_seq(stream.outq_seq + (tcp_state::sent_fin(stream.state) ? 1 : 0));
  entry.set_opt_mask(stream.options);
  entry.set_snd_wscale(stream.snd_wscale);
  entry.set_rcv_wscale(stream.rcv_wscale);
  entry.set_mss_clamp(stream.mss_clamp);
  if (stream.timestamp) entry.set_timestamp(*stream.timestamp);
  entry.set_cork(options.cork());
  entry.set_nodelay(options.nodelay());
  entry.set_unsq_len(stream.unsent);
  if (stream.window) {
    entry.set_snd_wl1(stream.window->snd_wl1);
    entry.set_snd_wnd(stream.window->snd_wnd);
    entry.set_max_window(stream.window->max_window);
    entry.set_rcv_wnd(stream.window->rcv_wnd);
    entry.set_rcv_wup(stream.window->rcv_wup);
  }
  return entry;
}

void append_stream(const TcpStream& stream, const img::inet_sk_entry& isk, ImageSink& images) {
  const std::string image = image_file::tcp_stream(isk.ino());
  images.append(image, to_entry(stream, isk.tcp_opts()));
  images.append_raw(image, std::as_bytes(std::span(stream.inq)));
  images.append_raw(image, std::as_bytes(std::span(stream.outq)));
}

}  // namespace

void inspect_tcp(const OpenFile& file, const InetSocketInfo& look, TcpTable& table, InspectContext& context) {
  const auto complain = [&](const Complaint& it) {
    context.refusals.push_back(refusal_of(file, it.reason, it.remedy));
  };
  if (table.is_signed(file, look)) return complain({kSignedReason, kSignedRemedy});
  if (look.state == tcp_state::kListen || !look.peer) return;
  if (look.is_mptcp()) return complain({kMptcpReason, kMptcpRemedy});
  const BorrowedSocket borrowed(file);
  if (has_ulp(borrowed.get())) return complain({kUlpReason, kUlpRemedy});
  if (table.other_end(look) != nullptr || table.listener_at(*look.peer) != nullptr || table.is_client_closed(look))
    return;
  if (const auto complaint = outside_complaint(look, context.options)) complain(*complaint);
}

TcpCollector::TcpCollector(FdContext& context) : table_(context.files) {}

void TcpCollector::hold_all(FdContext& context) {
  if (held_) return;
  held_ = true;
  std::vector<BlockedConnection> connections;
  bool outside = false;
  for (const TcpTable::Socket& socket : table_.sockets()) {
    if (!tcp_state::is_connected(socket.look.state) || !socket.look.peer || socket.look.is_mptcp()) continue;
    const bool alone = table_.other_end(socket.look) == nullptr && !table_.is_client_closed(socket.look) &&
                       !table_.waiting_end(socket.look);
    connections.push_back({duplicate(socket.file->own.get()), socket.look.local, *socket.look.peer, alone});
    outside = outside || alone;
  }
  TcpBlock* block = context.task.options.packets;
  if (block == nullptr) block = &own_block_.emplace(fmt::format("read-{}", context.files.front().pid));
  try {
    block->block(std::move(connections));
  } catch (const Error& error) {
    // Within a stopped tree the only disturbance is a delayed acknowledgement, so connections inside can be read
    // without the filter.
    if (outside || error.code() != ErrorCode::unsupported) throw;
    log::warn("{}; connections within the program are read without a packet filter", error.what());
  }
}

void TcpCollector::collect(const OpenFile& file, const InetSocketInfo& look, FdContext& context,
                           img::inet_sk_entry& isk) {
  if (table_.is_signed(file, look)) refuse(file, kSignedReason, kSignedRemedy);
  switch (look.state) {
    case tcp_state::kListen:
      return check_waiting(file, look);
    case tcp_state::kClose:
      return collect_ended(file, context, isk);
    case tcp_state::kSynSent:
    case tcp_state::kSynRecv:
      refuse(file, "it is a TCP connection that is being made", kTcpAgain);
    default:
      break;
  }
  if (look.is_mptcp()) refuse(file, kMptcpReason, kMptcpRemedy);
  if (!tcp_state::is_connected(look.state) || !look.peer) {
    refuse(file, fmt::format("it is a TCP socket in state {}, which is not known", look.state), kTcpAgain);
  }
  collect_connection(file, look, context, isk);
}

void TcpCollector::collect_connection(const OpenFile& file, const InetSocketInfo& look, FdContext& context,
                                      img::inet_sk_entry& isk) {
  const int fd = file.own.get();
  if (has_ulp(fd)) refuse(file, kUlpReason, kUlpRemedy);
  const std::string error = pending_error(fd);
  if (!error.empty()) refuse(file, error, kTcpAgain);
  pollfd poll{fd, POLLPRI, 0};
  if (::poll(&poll, 1, 0) == 1 && (poll.revents & POLLPRI) != 0) {
    refuse(file, "urgent data waits to be read from it", "try again when the program has read it");
  }
  img::crx_inet_entry& extra = *context.extra(file).mutable_inet();
  if (const TcpTable::Socket* other = table_.other_end(look)) {
    extra.set_peer_id(other->file->id);
  } else if (const auto unread = table_.waiting_end(look)) {
    if (*unread > 0) {
      refuse(*table_.listener_at(*look.peer)->file,
             fmt::format("a connection from {} that is not accepted yet has got {} bytes already", look.local.text(),
                         *unread),
             "try again when the program has accepted it");
    }
    extra.set_waiting(true);
  } else if (table_.is_client_closed(look)) {
    extra.set_client_closed(true);
  } else if (const auto complaint = outside_complaint(look, context.task.options)) {
    refuse(file, complaint->reason, complaint->remedy);
  }
  hold_all(context);
  const TcpStream stream = read_stream(fd, file.label());
  isk.set_state(stream.state);
  isk.set_shutdown(static_cast<img::sk_shutdown>(shutdown_of(stream.state, fd)));
  append_stream(stream, isk, context.task.images);
}

// Every unaccepted connection must have its client in the tree, which connects again at the destination.
void TcpCollector::check_waiting(const OpenFile& file, const InetSocketInfo& look) {
  if (look.waiting == 0) return;
  uint32_t inside = 0;
  for (const TcpTable::Socket& socket : table_.sockets()) {
    if (!tcp_state::is_connected(socket.look.state) || !socket.look.peer || table_.other_end(socket.look) != nullptr)
      continue;
    if (table_.listener_at(*socket.look.peer) == nullptr || !table_.waiting_end(socket.look)) continue;
    if (table_.listener_at(*socket.look.peer)->file == &file) ++inside;
  }
  if (inside >= look.waiting) return;
  refuse(file,
         fmt::format("{} connections wait to be accepted at {}, and the other ends of {} are not in the program",
                     look.waiting, look.local.text(), look.waiting - inside),
         "try again when the program has accepted them");
}

// For a socket that is not connected: new, or its connection has ended.
void TcpCollector::collect_ended(const OpenFile& file, FdContext& context, img::inet_sk_entry& isk) {
  const int fd = file.own.get();
  const std::string error = pending_error(fd);
  if (!error.empty()) refuse(file, error, kTcpAgain);
  char first = 0;
  const ssize_t got = ::recv(fd, &first, 1, MSG_PEEK | MSG_DONTWAIT);
  if (got < 0) return;  // ENOTCONN: it was never connected
  context.extra(file).mutable_inet()->set_ended(true);
  if (got == 0) return;
  TcpStream rest;
  rest.state = tcp_state::kClose;
  rest.inq = peek_all(fd);
  append_stream(rest, isk, context.task.images);
}

}  // namespace crx
