// Stream and record sockets: names, listening sockets, connections, and unaccepted connections.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <span>

#include "agent-dst/restore/sockets/socket_options.hpp"
#include "agent-dst/restore/sockets/unix_builder.hpp"
#include "common/base/error.hpp"
#include "common/image/magic.hpp"
#include "common/kernel/sockets/unix_diag.hpp"

namespace crx {
namespace {

constexpr char kUnixStreamsStep[] = "restoring unix sockets";

bool is_in_state(const UnixSocket& socket, int state) {
  return static_cast<int>(socket.entry->state()) == state;
}

// Returns the path that the socket's file gets at the commit; "" if the file is gone.
std::string final_path(const UnixSocket& socket) {
  const img::unix_sk_entry& entry = *socket.entry;
  if (entry.deleted()) return {};
  std::string path = entry.name().substr(0, entry.name().find('\0'));
  if (!path.starts_with('/')) path = entry.has_name_dir() ? entry.name_dir() + "/" + path : std::string();
  if (socket.unix().has_path()) path = socket.unix().path();
  if (path.empty() || path.front() != '/' || path.back() == '/') {
    throw Error(ErrorCode::corrupt_image, kUnixStreamsStep, socket.object + ": where its file is to be is not known");
  }
  return path;
}

}  // namespace

void UnixBuilder::make(UnixSocket& socket) {
  Fd fd(::socket(AF_UNIX, socket.type() | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) throw_errno(kUnixStreamsStep, socket.object);
  socket.hold(std::move(fd));
}

BoundPath::User UnixBuilder::user_of(const UnixSocket& socket) const {
  return {context_.task.files.tasks(), context_.opener_of(socket.id)};
}

void UnixBuilder::bind(UnixSocket& socket) {
  const std::string& name = socket.name();
  if (name.empty()) return;
  if (is_abstract(name)) {
    const UnixAddress address = unix_address(name);
    if (::bind(socket.fd, reinterpret_cast<const sockaddr*>(&address.address), address.size) != 0) {
      throw Error(ErrorCode::refused, kUnixStreamsStep, fmt::format("{}: the name is taken here", socket.object), errno)
          .with_hint("end the program that uses it at the destination");
    }
    socket.address_here = address;
    return;
  }
  socket.place = std::make_unique<BoundPath>(socket.fd, name, final_path(socket), user_of(socket));
  socket.address_here = address_of_fd(socket.place->file());
}

void UnixBuilder::listen(UnixSocket& socket) {
  actor_.listen(socket.fd, socket.entry->backlog(), socket.peer_cred(), socket.object);
}

void UnixBuilder::connect_streams() {
  for (auto& [ino, socket] : table_.all()) {
    if (!is_in_state(socket, kSocketListening)) continue;
    make(socket);
    bind(socket);
    listen(socket);
  }
  for (auto& [ino, socket] : table_.all()) {
    const UnixSocket* peer = table_.peer_of(socket);
    const bool waits = peer != nullptr && is_in_state(*peer, kSocketListening);
    if (socket.fd < 0 && !socket.is_datagram() && is_in_state(socket, kSocketEstablished) && !waits)
      connect_pair(socket);
  }
  for (auto& [ino, socket] : table_.all()) {
    if (socket.fd >= 0 || socket.is_datagram()) continue;
    make(socket);
    bind(socket);
  }
  for (auto& [ino, socket] : table_.all()) {
    if (is_in_state(socket, kSocketListening)) wait_for_accept(socket);
  }
}

// Makes both ends of a connection; an end that is gone at the source gets a placeholder.
void UnixBuilder::connect_pair(UnixSocket& socket) {
  UnixSocket* peer = table_.peer_of(socket);
  const std::string other_name = peer != nullptr ? peer->name() : socket.unix().peer_name();
  if (socket.name().empty() && other_name.empty()) {
    auto [mine, theirs] = actor_.make_pair(socket.type(), socket.peer_cred(), socket.object);
    socket.hold(std::move(mine));
    (peer != nullptr ? peer->made : socket.stand_in) = std::move(theirs);
    if (peer != nullptr) peer->fd = peer->made.get();
  } else if (peer != nullptr) {
    // An accepted end has the name of the listening socket.
    const bool listens =
        !socket.name().empty() && (peer->name().empty() || table_.listener(socket.type(), socket.name()) != nullptr);
    listens ? join(socket, *peer) : join(*peer, socket);
  } else {
    img::unix_sk_entry entry = *socket.entry;
    entry.set_name(other_name);
    entry.set_deleted(true);
    entry.clear_name_dir();
    UnixSocket gone;
    gone.entry = &entry;
    gone.extra = &img::crx_file_entry::default_instance();
    gone.object = socket.object + "'s other end";
    socket.name().empty() ? join(gone, socket) : join(socket, gone);
    socket.stand_in = std::move(gone.made);
  }
  if (peer == nullptr) return;
  socket.wired = peer;
  peer->wired = &socket;
}

// Returns a listening socket with the name of the accepted end; `temporary` holds it if the images have none.
int UnixBuilder::listening_place(UnixSocket& accepted, UnixSocket& client, UnixSocket& temporary) {
  UnixSocket* listener = table_.listener(accepted.type(), accepted.name());
  if (listener == nullptr) {
    make(temporary);
    if (is_abstract(accepted.name())) {
      bind(temporary);
    } else {
      temporary.place = std::make_unique<BoundPath>(temporary.fd, accepted.name(), std::string(), user_of(accepted));
      temporary.address_here = address_of_fd(temporary.place->file());
    }
    listener = &temporary;
  }
  // A client sees the process that called listen() (SO_PEERCRED).
  actor_.listen(listener->fd, 1, client.peer_cred(), client.object);
  temporary.address_here = listener->address_here;
  return listener->fd;
}

void UnixBuilder::join(UnixSocket& accepted, UnixSocket& client) {
  UnixSocket temporary;
  temporary.entry = accepted.entry;
  temporary.extra = accepted.extra;
  temporary.object = accepted.object;
  const int listener_fd = listening_place(accepted, client, temporary);
  UnixSocket* listener = table_.listener(accepted.type(), accepted.name());
  make(client);
  bind(client);
  const int bound = is_abstract(accepted.name()) ? -1 : (listener != nullptr ? listener : &temporary)->place->file();
  actor_.connect(client.fd, bound, accepted.name(), accepted.peer_cred(), accepted.object);
  Fd fd(::accept4(listener_fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (!fd) throw_errno(kUnixStreamsStep, accepted.object);
  accepted.hold(std::move(fd));
  if (listener != nullptr) listen(*listener);
}

// Connects one of our sockets in the name of the original client, and sends again what that had sent.
void UnixBuilder::arrive(int client, const UnixSocket& listener,
                         const img::crx_unaccepted_connection* unaccepted_connection, const img::crx_ucred* connector,
                         const std::string& object) {
  if (unaccepted_connection != nullptr && unaccepted_connection->has_connector())
    connector = &unaccepted_connection->connector();
  actor_.connect(client, listener.place ? listener.place->file() : -1, listener.name(), connector, object);
  if (unaccepted_connection == nullptr || unaccepted_connection->sent_size() == 0) return;
  widen_send_buffer(client, object);
  for (const img::crx_unix_sent& sent : unaccepted_connection->sent()) {
    send_packet(client, nullptr, std::as_bytes(std::span(sent.content())), {},
                sent.has_ucred() ? &sent.ucred() : nullptr, object);
  }
}

// For a connection whose client is closed: our client is closed, too.
void UnixBuilder::connect_closed_client(UnixSocket& listener,
                                        const img::crx_unaccepted_connection& unaccepted_connection) {
  img::unix_sk_entry entry = *listener.entry;
  entry.set_name(unaccepted_connection.name());
  entry.set_deleted(true);
  entry.clear_name_dir();
  UnixSocket gone;
  gone.entry = &entry;
  gone.extra = &img::crx_file_entry::default_instance();
  gone.object = "a client of " + listener.object;
  make(gone);
  bind(gone);
  arrive(gone.fd, listener, &unaccepted_connection, nullptr, gone.object);
}

void UnixBuilder::wait_for_accept(UnixSocket& listener) {
  const img::crx_unix_socket& more = listener.unix();
  if (more.unaccepted_size() != 0 && more.unaccepted_size() != more.waiting_size()) {
    throw Error(ErrorCode::corrupt_image, kUnixStreamsStep,
                fmt::format("{}: {} connections wait, {} are known", listener.object, more.waiting_size(),
                            more.unaccepted_size()));
  }
  for (int i = 0; i < more.waiting_size(); ++i) {
    const uint32_t ino = more.waiting(i);
    const img::crx_unaccepted_connection* unaccepted_connection =
        more.unaccepted_size() != 0 ? &more.unaccepted(i) : nullptr;
    if (ino == 0 && unaccepted_connection != nullptr) {
      connect_closed_client(listener, *unaccepted_connection);
      continue;
    }
    UnixSocket* client = table_.find(ino);
    if (client == nullptr || client->wired != nullptr || table_.peer_of(*client) != &listener) {
      throw Error(ErrorCode::corrupt_image, kUnixStreamsStep,
                  fmt::format("{}: inode {} does not wait to be accepted", listener.object, ino));
    }
    const img::crx_ucred* connector = client->unix().has_connector() ? &client->unix().connector() : nullptr;
    arrive(client->fd, listener, unaccepted_connection, connector, client->object);
    client->wired = &listener;
  }
}

void UnixBuilder::fill_stream(UnixSocket& socket) {
  if (socket.packets->empty()) return;
  // Where the other end is a listening socket the connection is not accepted yet, and arrive() has filled it.
  const bool accepted = socket.wired != nullptr && !is_in_state(*socket.wired, kSocketListening);
  const int sender = socket.stand_in ? socket.stand_in.get() : accepted ? socket.wired->fd : -1;
  if (sender < 0)
    throw Error(ErrorCode::corrupt_image, kUnixStreamsStep, socket.object + ": it has data but no other end");
  widen_send_buffer(sender, socket.object);
  for (std::size_t i = 0; i < socket.packets->size(); ++i) {
    const QueuedPacket& packet = (*socket.packets)[i];
    const img::crx_unix_packet* more = socket.packet(i);
    const img::crx_ucred* who = more != nullptr && more->has_ucred() ? &more->ucred() : nullptr;
    if (packet.bytes.empty() && socket.type() == SOCK_STREAM) continue;
    send_packet(sender, nullptr, packet.bytes, rights_of(packet), who, socket.object);
  }
}

// An end that is closed with unread data in it resets the connection.
void UnixBuilder::leave_unread(UnixSocket& socket) {
  if (!socket.unix().reset() || !socket.stand_in || socket.is_datagram()) return;
  const char unread = 0;
  if (::send(socket.fd, &unread, 1, MSG_DONTWAIT | MSG_NOSIGNAL) != 1) throw_errno(kUnixStreamsStep, socket.object);
}

std::vector<int> UnixBuilder::rights_of(const QueuedPacket& packet) const {
  std::vector<int> fds;
  for (const uint32_t id : packet.rights) {
    const auto found = context_.own.find(id);
    if (found == context_.own.end()) {
      throw Error(ErrorCode::corrupt_image, kUnixStreamsStep,
                  fmt::format("file {}, passed through a socket, is not in the images", id));
    }
    fds.push_back(found->second.get());
  }
  return fds;
}

void UnixBuilder::set_state(UnixSocket& socket) {
  set_socket_options(socket.fd, socket.entry->opts(), socket.extra->socket_options(), socket.object);
  const uint32_t mask = socket.entry->has_shutdown() ? static_cast<uint32_t>(socket.entry->shutdown()) : 0;
  // In a connection with a placeholder, closing that shuts the direction down.
  if (mask != 0 && (!socket.stand_in || socket.is_datagram())) {
    const int how = mask == img::READ ? SHUT_RD : mask == img::WRITE ? SHUT_WR : SHUT_RDWR;
    if (::shutdown(socket.fd, how) != 0) throw_errno(kUnixStreamsStep, socket.object);
  }
  const img::crx_unix_socket& more = socket.unix();
  int error = 0;
  socklen_t size = sizeof error;
  if (!more.reset()) static_cast<void>(::getsockopt(socket.fd, SOL_SOCKET, SO_ERROR, &error, &size));
  struct stat st {};
  if (more.has_mode() && ::fstat(socket.fd, &st) == 0) {
    if (st.st_uid != more.uid() || st.st_gid != more.gid())
      static_cast<void>(::fchown(socket.fd, more.uid(), more.gid()));
    if (st.st_mode != more.mode()) static_cast<void>(::fchmod(socket.fd, more.mode() & 07777));
  }
  if (socket.place && socket.entry->has_file_perms()) {
    const img::file_perms_entry& perms = socket.entry->file_perms();
    socket.place->set_owner(perms.mode(), perms.uid(), perms.gid());
  }
}

void UnixBuilder::finish() {
  context_.task.follow_image(image_file::kSkQueues);
  for (auto& [ino, socket] : table_.all()) {
    if (!socket.is_datagram()) fill_stream(socket);
  }
  context_.task.follow_image(image_file::kFiles);
  connect_mutual();
  context_.task.follow_image(image_file::kSkQueues);
  for (auto& [ino, socket] : table_.all()) {
    if (socket.is_datagram() && !socket.external) fill_datagrams(socket);
  }
  context_.task.follow_image(image_file::kFiles);
  connect_datagrams();
  for (auto& [ino, socket] : table_.all()) {
    if (!socket.external) set_state(socket);
  }
  for (auto& [ino, socket] : table_.all()) {
    leave_unread(socket);
    socket.stand_in.reset();
  }
  senders_.clear();
}

}  // namespace crx
