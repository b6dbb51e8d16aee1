// TCP: bound and listening sockets, connections within the tree and to the outside, and the remains of ended ones.
//
// 1. open(): sockets are bound. Connections are made in repair mode, with their queues; no packet is sent.
// 2. opened(): listening sockets listen. Connections within the tree leave repair mode and repeat what had not happened
//    yet: bytes that were never sent, FINs. The clients of unaccepted connections connect again.
// 3. commit(): our filters, which let no packet in, are removed.
// 4. resumed(): connections to the outside leave repair mode. Until the move is decided they must be able to end
//    without a packet, as any socket in repair mode does.
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <map>
#include <vector>

#include "agent-dst/restore/sockets/inet_sockets.hpp"
#include "agent-dst/restore/sockets/socket_options.hpp"
#include "agent-dst/restore/sockets/tcp_streams.hpp"
#include "common/base/error.hpp"
#include "common/base/log.hpp"
#include "common/image/magic.hpp"

namespace crx {
namespace {

constexpr char kTcpSocketsStep[] = "restoring a socket";

struct TcpSocket {
  enum class Kind { plain, listening, inside, outside, waiting, ended };
  // inside: the other end is a socket of the tree, or a placeholder for one that was closed (`stand_in`).
  Kind kind = Kind::plain;
  Fd fd;  // our duplicate, until the commit
  Fd stand_in;
  bool done = false;  // it has left repair mode and has its options
  const img::file_entry* entry = nullptr;
  const img::crx_file_entry* extra = nullptr;
  std::string object;
  InetAddress local;
  std::optional<InetAddress> peer;
  TcpStream stream;

  const img::inet_sk_entry& isk() const { return entry->isk(); }
};

class TcpSockets final : public FdRestorer {
 public:
  using Kind = TcpSocket::Kind;
  const char* name() const override { return "TCP sockets"; }
  bool matches(const img::file_entry& entry) const override {
    return entry.type() == img::INETSK && entry.has_isk() && entry.isk().type() == SOCK_STREAM;
  }

  Fd open(const img::file_entry& entry, FdRestoreContext& context) override {
    TcpSocket socket;
    socket.entry = &context.entries.at(entry.id());
    socket.extra = &context.extra(entry.id());
    socket.object = describe_inet(entry, context);
    const img::crx_inet_entry& inet = socket.extra->inet();
    socket.local = local_of(entry.isk(), inet);
    socket.peer = peer_of(entry.isk(), inet);
    socket.kind = kind_of(socket, context);
    Fd fd = make_inet_socket(entry.isk(), *socket.extra, socket.object);
    socket.fd = duplicate(fd.get());
    make(socket, context);
    sockets_.emplace(entry.id(), std::move(socket));
    return fd;
  }

  void opened(FdRestoreContext&) override {
    each(Kind::listening, [](TcpSocket& socket) {
      // The final value is set at the end; until then the socket may share its port with connections in repair mode.
      set_socket_int(socket.fd.get(), SOL_SOCKET, SO_REUSEADDR, 1, "SO_REUSEADDR", socket.object);
      const auto backlog = static_cast<int>(std::min<uint32_t>(socket.isk().backlog(), INT32_MAX));
      if (::listen(socket.fd.get(), backlog) == 0) return;
      if (errno == EADDRINUSE) throw_address_taken(socket.fd.get(), socket.local, socket.object);
      throw_errno(kTcpSocketsStep, socket.object + ": listening at " + socket.local.text());
    });
    resume_inside(false);
    each(Kind::waiting, [](TcpSocket& socket) {
      connect_here(socket.fd.get(), *socket.peer, socket.object);
      socket.stream.unsent = static_cast<uint32_t>(socket.stream.outq.size());
      resume_sending(socket.fd.get(), socket.stream, socket.object);
    });
    for (auto& [id, socket] : sockets_) {
      if (socket.kind == Kind::listening) close_gate(socket.fd.get(), Gate::nothing, socket.object);
      if (socket.kind != Kind::outside && socket.kind != Kind::inside) settle(socket);
    }
  }

  void commit(FdRestoreContext&) override {
    for (auto& [id, socket] : sockets_) {
      if (socket.kind != Kind::ended) require_local(socket.local, socket.fd.get(), socket.object);
    }
    resume_inside(true);
    for (auto& [id, socket] : sockets_) {
      if (socket.kind == Kind::outside) continue;
      open_gate(socket.fd.get(), socket.object);
      set_final(socket);
    }
  }

  void resumed(FdRestoreContext&) noexcept override {
    each(Kind::outside, [](TcpSocket& socket) {
      try {
        open_gate(socket.fd.get(), socket.object);
        resume_outside(socket);
        set_final(socket);  // its final buffer size may not have space for unsent bytes, so it comes last
      } catch (const std::exception& error) {
        log::error("cannot resume the connection from {} to {}: {}", socket.local.text(), socket.peer->text(),
                   error.what());
      }
    });
    sockets_.clear();
  }

 private:
  template <typename Action>
  void each(Kind kind, Action action) {
    for (auto& [id, socket] : sockets_) {
      if (socket.kind == kind) action(socket);
    }
  }

  static void set_final(const TcpSocket& socket) {
    set_final_options(socket.fd.get(), socket.isk(), *socket.extra, socket.object);
  }

  static Kind kind_of(const TcpSocket& socket, const FdRestoreContext& context) {
    const img::crx_inet_entry& inet = socket.extra->inet();
    const uint32_t state = socket.isk().state();
    if (state == tcp_state::kListen) return Kind::listening;
    if (state == tcp_state::kClose) return inet.ended() ? Kind::ended : Kind::plain;
    if (!tcp_state::is_connected(state) || !socket.peer) {
      throw Error(ErrorCode::corrupt_image, kTcpSocketsStep, fmt::format("{}: state {}", socket.object, state));
    }
    if (inet.waiting()) return Kind::waiting;
    if (inet.peer_id() != 0 || inet.client_closed()) return Kind::inside;
    // CRIU's sets do not say this, so look for the other end.
    for (const auto& [id, other] : context.entries) {
      if (!other.has_isk() || other.isk().type() != SOCK_STREAM || !tcp_state::is_connected(other.isk().state()))
        continue;
      const auto peer = peer_of(other.isk(), img::crx_inet_entry());
      if (peer && peer->plain() == socket.local.plain() &&
          local_of(other.isk(), img::crx_inet_entry()).plain() == socket.peer->plain()) {
        return Kind::inside;
      }
    }
    return Kind::outside;
  }

  static void make(TcpSocket& socket, FdRestoreContext& context) {
    const int fd = socket.fd.get();
    const ImageSource& images = context.task.images;
    const std::string image = image_file::tcp_stream(socket.isk().ino());
    const bool has_stream = images.contains(image);
    if (has_stream) context.task.follow_image(image);
    if (has_stream || tcp_state::is_connected(socket.isk().state())) socket.stream = load_stream(socket.isk(), images);
    switch (socket.kind) {
      case Kind::ended:
        return make_ended(fd, socket.local.family, socket.stream.inq, socket.object);
      case Kind::inside:
      case Kind::outside:
        return make_connection(socket);
      default:
        break;
    }
    if (socket.local.port != 0 || !socket.local.is_any()) bind_beside(socket, context);
    if (socket.kind == Kind::waiting) set_socket_int(fd, SOL_SOCKET, SO_REUSEADDR, 1, "SO_REUSEADDR", socket.object);
  }

  // In repair mode a socket can bind to a port that connections of the tree have, which are made already.
  static void bind_beside(const TcpSocket& socket, const FdRestoreContext& context) {
    const int fd = socket.fd.get();
    const bool shared = std::any_of(context.entries.begin(), context.entries.end(), [&](const auto& slot) {
      const img::file_entry& other = slot.second;
      return other.has_isk() && tcp_state::is_connected(other.isk().state()) &&
             other.isk().src_port() == socket.local.port;
    });
    const bool repair = shared && socket.isk().proto() == IPPROTO_TCP;
    if (repair) enter_repair(fd, socket.object);
    share_port(fd, *socket.entry, context, socket.object);
    bind_inet(fd, socket.local, socket.object);
    if (!repair) return;
    leave_repair(fd, false, socket.object);
    set_address_options(fd, socket.isk().opts(), socket.object);
    share_port(fd, *socket.entry, context, socket.object);
  }

  static void make_connection(TcpSocket& socket) {
    const int fd = socket.fd.get();
    enter_repair(fd, socket.object);
    if (socket.kind == Kind::outside) close_gate(fd, Gate::nothing, socket.object);
    const ForeignAddress foreign(fd, socket.local);
    bind_inet(fd, socket.local, socket.object);
    make_stream(fd, socket.stream, *socket.peer, socket.object);
    // The buffer must not be larger than at the source when packets arrive, or the window would open.
    const auto room = static_cast<int>(std::min<uint32_t>(socket.isk().opts().so_rcvbuf(), INT32_MAX) / 2);
    static_cast<void>(::setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room));
    if (!socket.extra->inet().client_closed()) return;
    socket.stand_in.reset(::socket(socket.peer->family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!socket.stand_in) throw_errno(kTcpSocketsStep, socket.object);
    enter_repair(socket.stand_in.get(), socket.object);
    bind_inet(socket.stand_in.get(), *socket.peer, socket.object);
    make_stream(socket.stand_in.get(), mirrored(socket.stream), socket.local, socket.object);
    leave_repair(socket.stand_in.get(), false, socket.object);
    // The closed placeholder keeps the port for a while; a server may still listen there, as it could before.
    set_socket_int(socket.stand_in.get(), SOL_SOCKET, SO_REUSEADDR, 1, "SO_REUSEADDR", socket.object);
  }

  // All sockets leave repair mode before any of them sends: a packet must not meet an end that is still in repair mode.
  // Connections whose addresses a hook brings later are resumed at the commit.
  void resume_inside(bool all) {
    std::vector<TcpSocket*> ready;
    each(Kind::inside, [&](TcpSocket& socket) {
      const bool here = all || (is_local_address(socket.local) && is_local_address(*socket.peer));
      if (!socket.done && here) ready.push_back(&socket);
    });
    for (TcpSocket* socket : ready) leave_repair(socket->fd.get(), false, socket->object);
    for (TcpSocket* socket : ready) leave_repair(socket->fd.get(), true, socket->object);
    for (TcpSocket* socket : ready) socket->stand_in.reset();  // sends its FIN
    for (TcpSocket* socket : ready) resume_sending(socket->fd.get(), socket->stream, socket->object);
    for (TcpSocket* socket : ready) settle(*socket);
  }

  static void resume_outside(TcpSocket& socket) {
    const int fd = socket.fd.get();
    const uint32_t state = socket.stream.state;
    leave_repair(fd, true, socket.object);
    // Both ends have sent a FIN; if the FINs crossed, ours comes first.
    const bool crossed = state == tcp_state::kClosing;
    if (tcp_state::got_fin(state) && !crossed) replay_fin(socket.stream, socket.local, *socket.peer, socket.object);
    resume_sending(fd, socket.stream, socket.object);
    if (crossed) replay_fin(socket.stream, socket.local, *socket.peer, socket.object);
    settle(socket);
  }

  static void settle(TcpSocket& socket) {
    socket.done = true;
    set_late_options(socket.fd.get(), socket.isk(), *socket.extra, socket.object);
    set_general_options(socket.fd.get(), socket.isk(), *socket.extra, socket.object);
    // Shut down for reading without a FIN: the program itself did it.
    const bool read = (socket.isk().shutdown() & img::READ) != 0;
    if (read && socket.stream.state == tcp_state::kEstablished && socket.peer) {
      static_cast<void>(::shutdown(socket.fd.get(), SHUT_RD));
    }
  }

  std::map<uint32_t, TcpSocket> sockets_;  // keyed by id, until the commit
};

}  // namespace

FdRestorerPtr make_tcp_restorer() {
  return std::make_unique<TcpSockets>();
}

}  // namespace crx
