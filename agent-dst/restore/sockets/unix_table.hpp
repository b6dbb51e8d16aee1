// The unix sockets of an image set, checked, with what has been made of them so far.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "agent-dst/restore/kind/fd_restorer.hpp"
#include "agent-dst/restore/sockets/bound_path.hpp"
#include "agent-dst/restore/sockets/unix_filler.hpp"

namespace crx {

struct UnixSocket {
  uint32_t id = 0;
  const img::unix_sk_entry* entry = nullptr;
  const img::crx_file_entry* extra = nullptr;          // never nullptr
  std::string object;                                  // the name for messages
  const std::vector<QueuedPacket>* packets = nullptr;  // never nullptr
  bool external = false;                               // outside the tree, found by its name

  Fd made;                           // until open() returns it
  int fd = -1;                       // its descriptor number here, while descriptors are restored
  std::unique_ptr<BoundPath> place;  // for a socket bound to a path
  UnixSocket* wired = nullptr;       // the other end that it is connected to now
  Fd stand_in;                       // a placeholder for an other end that is gone at the source: closed at the end
  UnixAddress address_here;          // the address that reaches it from here; size 0: none

  int type() const { return static_cast<int>(entry->type()); }
  bool is_datagram() const { return type() == SOCK_DGRAM; }
  const std::string& name() const { return entry->name(); }
  const img::crx_unix_socket& unix() const { return extra->unix(); }
  const img::crx_ucred* peer_cred() const { return unix().has_peer() ? &unix().peer() : nullptr; }
  // Returns crx's own data about packet `index` of its queue; nullptr if there are none.
  const img::crx_unix_packet* packet(std::size_t index) const;
  // Takes ownership of the socket that was made for this entry.
  void hold(Fd socket) {
    made = std::move(socket);
    fd = made.get();
  }
};

class UnixTable {
 public:
  // Reads all entries of the context, and the ends outside that their peers name. Throws Error(corrupt_image) for a
  // state that no kernel could have had.
  explicit UnixTable(FdRestoreContext& context);

  // Keyed by ino, ascending; pointers stay valid.
  std::map<uint32_t, UnixSocket>& all() { return sockets_; }
  // Find a socket by its inode number or its file id in the images; nullptr if there is none.
  UnixSocket* find(uint32_t ino);
  UnixSocket* find_id(uint32_t id);
  // Returns the other end in the images; nullptr if there is none.
  UnixSocket* peer_of(const UnixSocket& socket) {
    return socket.entry->peer() == 0 ? nullptr : find(socket.entry->peer());
  }
  // Returns the listening socket of this type and name; nullptr if there is none.
  UnixSocket* listener(int type, const std::string& name);
  // Returns the datagram socket of this name; nullptr if there is none.
  UnixSocket* datagram(const std::string& name);

 private:
  void add(const img::unix_sk_entry& entry, FdRestoreContext& context);
  void add_external(FdRestoreContext& context);
  void check(const UnixSocket& socket);

  std::map<uint32_t, UnixSocket> sockets_;
  std::map<uint32_t, UnixSocket*> by_id_;
  std::map<uint32_t, std::vector<QueuedPacket>> queues_;
  std::vector<std::unique_ptr<img::unix_sk_entry>> external_;
};

}  // namespace crx
