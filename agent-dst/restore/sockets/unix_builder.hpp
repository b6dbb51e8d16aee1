// Makes the unix sockets of an image set in our own process: bound, listening, connected, filled.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "agent-dst/restore/sockets/peercred_actor.hpp"
#include "agent-dst/restore/sockets/unix_table.hpp"

namespace crx {

// Three steps, called once each. No other process notices anything: sockets with paths are bound in a hidden folder,
// and BoundPath::publish() later gives them their names; abstract names are taken at once. The steps throw
// Error(refused) or Error(corrupt_image) that names the socket.
class UnixBuilder {
 public:
  UnixBuilder(UnixTable& table, FdRestoreContext& context) : table_(table), context_(context), actor_(context) {}

  // Makes sockets, names, stream and record connections, and unaccepted connections.
  void connect_streams();
  // Makes datagram sockets, and the pairs among them.
  void make_datagrams();
  // To be called after all descriptors have been opened: fills queues, connects datagram sockets, sets options, shuts
  // ends down; then closes the placeholders for ends that are gone at the source.
  void finish();

 private:
  // unix_streams.cpp
  BoundPath::User user_of(const UnixSocket& socket) const;
  void make(UnixSocket& socket);
  void bind(UnixSocket& socket);
  void listen(UnixSocket& socket);
  void connect_pair(UnixSocket& socket);
  void join(UnixSocket& accepted, UnixSocket& client);
  void wait_for_accept(UnixSocket& listener);
  void arrive(int client, const UnixSocket& listener, const img::crx_unaccepted_connection* unaccepted_connection,
              const img::crx_ucred* connector, const std::string& object);
  void connect_closed_client(UnixSocket& listener, const img::crx_unaccepted_connection& unaccepted_connection);
  int listening_place(UnixSocket& accepted, UnixSocket& client, UnixSocket& temporary);
  void fill_stream(UnixSocket& socket);
  void leave_unread(UnixSocket& socket);

  // unix_datagrams.cpp
  void connect_mutual();
  void fill_datagrams(UnixSocket& socket);
  void connect_datagrams();
  void connect_datagram(UnixSocket& socket);
  bool connect_outside(const UnixSocket& socket, const std::string& name);
  bool is_foreign(const UnixSocket& socket, std::size_t index);
  UnixSocket* sender_of(const UnixSocket& socket, std::size_t index);
  int temporary_sender(const std::string& source);

  std::vector<int> rights_of(const QueuedPacket& packet) const;
  void set_state(UnixSocket& socket);

  UnixTable& table_;
  FdRestoreContext& context_;
  PeercredActor actor_;
  std::map<std::string, Fd> senders_;  // by name: temporary senders for datagrams whose sender is gone
};

}  // namespace crx
