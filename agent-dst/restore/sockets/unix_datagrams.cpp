// Datagram sockets: pairs, queued datagrams with their senders, and connections.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>

#include <algorithm>

#include "agent-dst/restore/sockets/unix_builder.hpp"
#include "common/base/error.hpp"
#include "common/base/log.hpp"

namespace crx {
namespace {

constexpr char kUnixDatagramsStep[] = "restoring unix datagram sockets";

// The state does not show this: a socket that others are connected to counts as established, too.
bool is_connected(const UnixSocket& socket) {
  return socket.entry->peer() != 0 || socket.unix().has_peer_name();
}

void connect_checked(int fd, const UnixAddress& address, const std::string& object) {
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address.address), address.size) != 0)
    throw_errno(kUnixDatagramsStep, object);
}

}  // namespace

// An end without a name can be reached only as one of a pair.
void UnixBuilder::make_datagrams() {
  for (auto& [ino, socket] : table_.all()) {
    if (!socket.is_datagram() || socket.external || socket.fd >= 0) continue;
    UnixSocket* peer = table_.peer_of(socket);
    const bool gone = peer == nullptr && socket.unix().peer_name().empty() &&
                      (is_connected(socket) || (socket.name().empty() && !socket.packets->empty()));
    const bool pair = peer != nullptr && peer != &socket && !peer->external &&
                      (peer->name().empty() || socket.name().empty()) &&
                      (peer->name().empty() || peer->entry->peer() == socket.entry->ino());
    if (!pair && !gone) continue;
    if (pair && peer->fd >= 0) {
      throw Error(ErrorCode::corrupt_image, kUnixDatagramsStep,
                  socket.object + ": its other end has no name and is connected to another socket");
    }
    auto [mine, theirs] = actor_.make_pair(SOCK_DGRAM, socket.peer_cred(), socket.object);
    socket.hold(std::move(mine));
    if (gone) {
      socket.stand_in = std::move(theirs);
      continue;
    }
    peer->hold(std::move(theirs));
    socket.wired = peer;
    peer->wired = &socket;
  }
  for (auto& [ino, socket] : table_.all()) {
    if (!socket.is_datagram() || socket.external) continue;
    if (socket.fd < 0) make(socket);
    bind(socket);
  }
}

// Connects two ends to each other by name, unless datagrams of other senders are queued: those must be sent before.
void UnixBuilder::connect_mutual() {
  for (auto& [ino, socket] : table_.all()) {
    UnixSocket* peer = socket.is_datagram() && !socket.external ? table_.peer_of(socket) : nullptr;
    if (peer == nullptr || peer->external || socket.wired != nullptr || table_.peer_of(*peer) != &socket) continue;
    bool foreign = false;
    for (std::size_t i = 0; i < socket.packets->size(); ++i) foreign = foreign || is_foreign(socket, i);
    if (foreign) continue;
    connect_datagram(socket);
  }
}

bool UnixBuilder::is_foreign(const UnixSocket& socket, std::size_t index) {
  return sender_of(socket, index) != table_.peer_of(socket);
}

// Finds the sender in the images, by inode or else by name. nullptr if it is not there.
UnixSocket* UnixBuilder::sender_of(const UnixSocket& socket, std::size_t index) {
  const img::crx_unix_packet* more = socket.packet(index);
  UnixSocket* sender = nullptr;
  if (more != nullptr && more->has_sender()) sender = table_.find(more->sender());
  if (sender == nullptr && more != nullptr && more->has_source()) sender = table_.datagram(more->source());
  if (sender == nullptr && (more == nullptr || !more->has_source())) sender = socket.wired;
  return sender != nullptr && sender->fd >= 0 && sender->is_datagram() ? sender : nullptr;
}

int UnixBuilder::temporary_sender(const std::string& source) {
  Fd& sender = senders_[source];
  if (sender) return sender.get();
  sender.reset(::socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!sender) throw_errno(kUnixDatagramsStep, "a sender");
  if (source.empty()) return sender.get();
  if (!is_abstract(source)) {
    const BoundPath bound(sender.get(), source, std::string(), {context_.task.files.tasks(), context_.task.pid});
    return sender.get();
  }
  const UnixAddress address = unix_address(source);
  if (::bind(sender.get(), reinterpret_cast<const sockaddr*>(&address.address), address.size) != 0) {
    log::warn("datagrams from {} come without a sender's name: the name is taken here", printable_socket_name(source));
  }
  return sender.get();
}

void UnixBuilder::fill_datagrams(UnixSocket& socket) {
  for (std::size_t i = 0; i < socket.packets->size(); ++i) {
    const QueuedPacket& packet = (*socket.packets)[i];
    const img::crx_unix_packet* more = socket.packet(i);
    UnixSocket* sender = sender_of(socket, i);
    int fd = sender != nullptr ? sender->fd : -1;
    bool connected = sender != nullptr && sender->wired == &socket;
    if (fd < 0 && socket.stand_in && (more == nullptr || !more->has_source())) {
      fd = socket.stand_in.get();
      connected = true;
    }
    if (fd < 0) fd = temporary_sender(more != nullptr ? more->source() : std::string());
    if (!connected && socket.address_here.size == 0) {
      throw Error(ErrorCode::corrupt_image, kUnixDatagramsStep,
                  socket.object + ": it has datagrams, but nobody can have sent them");
    }
    widen_send_buffer(fd, socket.object);
    const img::crx_ucred* who = more != nullptr && more->has_ucred() ? &more->ucred() : nullptr;
    send_packet(fd, connected ? nullptr : &socket.address_here, packet.bytes, rights_of(packet), who, socket.object);
  }
}

// When a socket is connected, no socket but its peer can connect to it; so those that others are connected to come
// last.
void UnixBuilder::connect_datagrams() {
  std::vector<UnixSocket*> left;
  std::map<const UnixSocket*, int> wanted;  // how many others still have to connect to it
  const auto one_sided = [&](const UnixSocket& socket) {
    const UnixSocket* peer = table_.peer_of(socket);
    return peer != nullptr && peer != &socket && peer->entry->peer() != socket.entry->ino() ? peer : nullptr;
  };
  for (auto& [ino, socket] : table_.all()) {
    if (!socket.is_datagram() || socket.external || socket.stand_in || !is_connected(socket)) continue;
    if (socket.wired != nullptr && socket.wired == table_.peer_of(socket)) continue;
    left.push_back(&socket);
    if (const UnixSocket* peer = one_sided(socket)) ++wanted[peer];
  }
  while (!left.empty()) {
    auto next = std::find_if(left.rbegin(), left.rend(), [&](const UnixSocket* socket) { return wanted[socket] == 0; });
    if (next == left.rend()) --next;
    UnixSocket& socket = **next;
    left.erase(std::next(next).base());
    connect_datagram(socket);
    if (const UnixSocket* peer = one_sided(socket)) --wanted[peer];
  }
  // Pairs of which one end has been disconnected since.
  for (auto& [ino, socket] : table_.all()) {
    if (!socket.is_datagram() || socket.external || socket.wired == nullptr || is_connected(socket)) continue;
    sockaddr none{};
    none.sa_family = AF_UNSPEC;
    if (::connect(socket.fd, &none, sizeof none) != 0) throw_errno(kUnixDatagramsStep, socket.object);
    socket.wired = nullptr;
  }
}

// Connects to a socket of another program as the task could. Returns false and leaves errno set.
bool UnixBuilder::connect_outside(const UnixSocket& socket, const std::string& name) {
  const auto connect_to = [&](const UnixAddress& to) {
    return ::connect(socket.fd, reinterpret_cast<const sockaddr*>(&to.address), to.size) == 0;
  };
  const UnixAddress address = unix_address(name);
  if (is_abstract(name)) return connect_to(address);
  const auto as_agent = [&] {
    const Fd found = try_find(AT_FDCWD, name.substr(0, name.find('\0')));
    return found && connect_to(address_of_fd(found.get()));
  };
  const BoundPath::User user = user_of(socket);
  return user.files.act_as(
      user.task, [&] { return connect_to(address); }, as_agent);
}

void UnixBuilder::connect_datagram(UnixSocket& socket) {
  UnixSocket* peer = table_.peer_of(socket);
  if (peer == nullptr) {
    // the peer has a name, but its socket is gone
    Fd gone(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!gone) throw_errno(kUnixDatagramsStep, socket.object);
    const std::string& name = socket.unix().peer_name();
    if (is_abstract(name)) {
      const UnixAddress address = unix_address(name);
      if (::bind(gone.get(), reinterpret_cast<const sockaddr*>(&address.address), address.size) != 0)
        throw_errno(kUnixDatagramsStep, socket.object);
      return connect_checked(socket.fd, address, socket.object);
    }
    const BoundPath place(gone.get(), name, std::string(), user_of(socket));
    return connect_checked(socket.fd, address_of_fd(place.file()), socket.object);
  }
  if (!peer->external) {
    connect_checked(socket.fd, peer->address_here, socket.object);
    socket.wired = peer;
    return;
  }
  if (connect_outside(socket, peer->name())) return;
  throw Error(ErrorCode::refused, kUnixDatagramsStep,
              fmt::format("{}: nothing answers here under {}", socket.object, printable_socket_name(peer->name())),
              errno)
      .with_hint("start the program that receives there");
}

}  // namespace crx
