// Puts packets into the queues of unix sockets.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "agent-dst/restore/sockets/bound_path.hpp"
#include "common/image/image_io.hpp"
#include "common/image/schema/crx_sockets.pb.h"

namespace crx {

// A packet of sk-queues.img.
struct QueuedPacket {
  std::span<const std::byte> bytes;  // points into the image
  std::vector<uint32_t> rights;      // file ids of the passed descriptors
};

// Reads the queues in order, keyed by the id of the receiving socket. Throws Error(corrupt_image) for malformed ones.
std::map<uint32_t, std::vector<QueuedPacket>> read_socket_queues(const ImageSource& images);
// Returns the ids of all descriptions in flight in sockets: they must be opened even if no task has a number for them.
std::set<uint32_t> ids_in_flight(const ImageSource& images);

// Enlarges the send buffer for everything that has to be sent through this socket; its final options are set
// afterwards.
void widen_send_buffer(int fd, const std::string& object);

// Sends one packet. to: nullptr for the other end of a connection. rights: our descriptors. who: the SCM_CREDENTIALS
// that the receiver shall see, nullptr for none; if there is no process of that number, one is made for the moment.
// Never blocks: throws Error(refused) if the packet does not fit.
void send_packet(int fd, const UnixAddress* to, std::span<const std::byte> bytes, const std::vector<int>& rights,
                 const img::crx_ucred* who, const std::string& object);

}  // namespace crx
