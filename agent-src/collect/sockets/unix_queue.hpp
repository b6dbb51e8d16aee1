// Reads the receive queue of a unix socket without taking anything out.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/base/fd.hpp"

namespace crx {

// A datagram or record; for a stream, bytes that were sent together as far as a receiver can see.
struct UnixPacket {
  std::string bytes;
  std::vector<Fd> rights;            // duplicates of the passed descriptors (SCM_RIGHTS), owned here
  std::optional<ucred> credentials;  // SCM_CREDENTIALS, if the socket asks for them
  std::string source;                // sun_path of the sender; empty if it has no name
};

// Returns the queue in order. type: SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET. object: the socket's name for messages.
// Moves SO_PEEK_OFF of the socket if it must and restores it, so no process may receive meanwhile. Throws
// Error(refused) if reading would take something away: a pending error (SO_ERROR), urgent data. Empty datagrams can be
// seen only once: the kernel (6.18) marks them and skips them the next time.
std::vector<UnixPacket> peek_unix_queue(int fd, int type, const std::string& object);

// Whether an error is pending (SO_ERROR), without clearing it. On a unix socket it is ECONNRESET.
bool has_pending_error(int fd);

}  // namespace crx
