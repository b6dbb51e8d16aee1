#include "agent-dst/restore/sockets/unix_table.hpp"

#include <fmt/format.h>

#include <set>

#include "common/base/error.hpp"
#include "common/image/magic.hpp"
#include "common/kernel/sockets/unix_diag.hpp"

namespace crx {
namespace {

constexpr uint32_t kExternal = 1;  // unix_sk_entry.uflags

[[noreturn]] void corrupt(const std::string& text) {
  throw Error(ErrorCode::corrupt_image, "restoring unix sockets", text);
}

const std::vector<QueuedPacket> kNoPackets;

}  // namespace

const img::crx_unix_packet* UnixSocket::packet(std::size_t index) const {
  for (const img::crx_unix_packet& packet : unix().packets()) {
    if (packet.index() == index) return &packet;
  }
  return nullptr;
}

UnixTable::UnixTable(FdRestoreContext& context) {
  queues_ = read_socket_queues(context.task.images);
  for (const auto& [id, entry] : context.entries) {
    if (entry.has_usk() && entry.type() == img::UNIXSK) add(entry.usk(), context);
  }
  add_external(context);
  for (const auto& [ino, socket] : sockets_) check(socket);
}

void UnixTable::add(const img::unix_sk_entry& entry, FdRestoreContext& context) {
  const auto [slot, is_new] = sockets_.try_emplace(entry.ino());
  if (!is_new || entry.ino() == 0) corrupt(fmt::format("two sockets with inode {}", entry.ino()));
  UnixSocket& socket = slot->second;
  socket.id = entry.id();
  by_id_[socket.id] = &socket;
  socket.entry = &entry;
  socket.extra = &context.extra(entry.id());
  socket.object = describe("unix socket", entry.id(), context);
  if (!entry.name().empty()) socket.object += " " + printable_socket_name(entry.name());
  const auto queue = queues_.find(entry.id());
  socket.packets = queue == queues_.end() ? &kNoPackets : &queue->second;
  socket.external = (entry.uflags() & kExternal) != 0;
}

// Adds the entries that no task has a number for.
void UnixTable::add_external(FdRestoreContext& context) {
  std::set<uint32_t> missing;
  for (const auto& [ino, socket] : sockets_) {
    if (socket.entry->peer() != 0 && find(socket.entry->peer()) == nullptr) missing.insert(socket.entry->peer());
  }
  if (missing.empty()) return;
  for (const auto& file : context.task.images.read_all<img::file_entry>(image_file::kFiles)) {
    if (!file.has_usk() || (file.usk().uflags() & kExternal) == 0 || missing.erase(file.usk().ino()) == 0) continue;
    external_.push_back(std::make_unique<img::unix_sk_entry>(file.usk()));
    add(*external_.back(), context);
  }
  if (!missing.empty()) corrupt(fmt::format("a socket's other end, inode {}, is not in the images", *missing.begin()));
}

void UnixTable::check(const UnixSocket& socket) {
  const img::unix_sk_entry& entry = *socket.entry;
  const auto state = static_cast<int>(entry.state());
  const int type = socket.type();
  if (type != SOCK_STREAM && type != SOCK_DGRAM && type != SOCK_SEQPACKET)
    corrupt(fmt::format("{}: type {}", socket.object, type));
  if (state != kSocketEstablished && state != kSocketClosed && state != kSocketListening) {
    corrupt(fmt::format("{}: state {}", socket.object, state));
  }
  if (entry.name().size() > sizeof(sockaddr_un::sun_path) ||
      socket.unix().peer_name().size() > sizeof(sockaddr_un::sun_path)) {
    corrupt(socket.object + ": its name is too long");
  }
  if (state == kSocketListening && (entry.name().empty() || socket.is_datagram()))
    corrupt(socket.object + " cannot listen");
  if (socket.external && (entry.name().empty() || !socket.is_datagram()))
    corrupt(socket.object + " cannot be found outside");
  const UnixSocket* peer = peer_of(socket);
  if (peer == nullptr) return;
  if (peer->type() != type) corrupt(socket.object + ": its other end is of another type");
  if (socket.is_datagram()) return;
  const bool mutual = peer->entry->peer() == entry.ino() && peer->entry->ino() != entry.ino();
  const bool accepted = static_cast<int>(peer->entry->state()) != kSocketListening;
  if (state != kSocketEstablished || (accepted && !mutual))
    corrupt(socket.object + ": its other end is connected to another socket");
}

UnixSocket* UnixTable::find(uint32_t ino) {
  const auto found = sockets_.find(ino);
  return found == sockets_.end() ? nullptr : &found->second;
}

UnixSocket* UnixTable::find_id(uint32_t id) {
  const auto found = by_id_.find(id);
  return found == by_id_.end() ? nullptr : found->second;
}

UnixSocket* UnixTable::listener(int type, const std::string& name) {
  for (auto& [ino, socket] : sockets_) {
    if (socket.type() == type && static_cast<int>(socket.entry->state()) == kSocketListening && socket.name() == name)
      return &socket;
  }
  return nullptr;
}

UnixSocket* UnixTable::datagram(const std::string& name) {
  for (auto& [ino, socket] : sockets_) {
    if (socket.is_datagram() && !socket.external && socket.name() == name) return &socket;
  }
  return nullptr;
}

}  // namespace crx
