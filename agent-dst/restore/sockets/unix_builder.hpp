// Makes the unix sockets of an image set in our own process: bound, listening, connected, filled.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "agent-dst/restore/sockets/peercred_actor.hpp"
#include "agent-dst/restore/sockets/unix_table.hpp"

namespace crx {

// Three steps, once each. Nothing outside notices anything: names that are paths are bound where nobody looks, and
// taken by BoundPath::publish() later; abstract names are taken at once.
class UnixBuilder {
 public:
  UnixBuilder(UnixTable& table, FdRestoreContext& context) : table_(table), context_(context), actor_(context) {}

  // Sockets, names, connections of streams and records, and who waits to be accepted.
  void connect_streams();
  // Datagram sockets and the pairs among them.
  void make_datagrams();
  // After all descriptors have been opened: the queues, connections of datagram sockets, options, halves that are
  // shut down; then other ends that are gone at the source go.
  void finish();

 private:
  // unix_streams.cpp
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
  bool is_foreign(const UnixSocket& socket, std::size_t index);
  UnixSocket* sender_of(const UnixSocket& socket, std::size_t index);
  int temporary_sender(const std::string& source);

  std::vector<int> rights_of(const QueuedPacket& packet) const;
  void set_state(UnixSocket& socket);

  UnixTable& table_;
  FdRestoreContext& context_;
  PeercredActor actor_;
  std::map<std::string, Fd> senders_;  // by name: of datagrams whose sender is gone
};

}  // namespace crx
