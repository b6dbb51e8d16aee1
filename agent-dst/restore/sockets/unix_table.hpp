// The unix sockets of an image set, checked, and what has been made of them so far.
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
  const img::crx_file_entry* extra = nullptr;          // never null
  std::string object;                                  // for messages
  const std::vector<QueuedPacket>* packets = nullptr;  // never null
  bool external = false;                               // outside, found by its name

  Fd made;                           // until open() hands it out
  int fd = -1;                       // its number here, as long as descriptors are restored
  std::unique_ptr<BoundPath> place;  // where it is bound to a path
  UnixSocket* wired = nullptr;       // the other end that it is connected to now
  Fd stand_in;                       // its other end, where that is gone at the source: closed at the end
  UnixAddress address_here;          // how it is reached from here; size 0 where it is not

  int type() const { return static_cast<int>(entry->type()); }
  bool is_datagram() const { return type() == SOCK_DGRAM; }
  const std::string& name() const { return entry->name(); }
  const img::crx_unix_socket& unix() const { return extra->unix(); }
  const img::crx_ucred* peer_cred() const { return unix().has_peer() ? &unix().peer() : nullptr; }
  // What crx knows more of packet `index` of its queue; nullptr for nothing.
  const img::crx_unix_packet* packet(std::size_t index) const;
  void hold(Fd socket) {
    made = std::move(socket);
    fd = made.get();
  }
};

class UnixTable {
 public:
  // All of the context's entries, and what their peers name outside. Throws Error(corrupt_image) for what no kernel
  // could have had.
  explicit UnixTable(FdRestoreContext& context);

  // By ino, ascending; pointers stay valid.
  std::map<uint32_t, UnixSocket>& all() { return sockets_; }
  UnixSocket* find(uint32_t ino);
  UnixSocket* find_id(uint32_t id);
  // The other end in the images; nullptr for none.
  UnixSocket* peer_of(const UnixSocket& socket) {
    return socket.entry->peer() == 0 ? nullptr : find(socket.entry->peer());
  }
  // The socket of this type and name that listens; nullptr for none.
  UnixSocket* listener(int type, const std::string& name);
  // A datagram socket of this name.
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
