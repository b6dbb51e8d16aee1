// What waits to be received in a unix socket, looked at without taking it out.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/base/fd.hpp"

namespace crx {

// A datagram or record; of a stream, bytes that were sent together as far as the receiver can tell.
struct UnixPacket {
  std::string bytes;
  std::vector<Fd> rights;            // duplicates of the passed descriptors (SCM_RIGHTS), ours
  std::optional<ucred> credentials;  // SCM_CREDENTIALS, where the socket asks for them
  std::string source;                // sun_path of the sender; empty for one without a name
};

// type: SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET. object: for messages. Moves SO_PEEK_OFF of the socket where it must
// and puts it back: nobody may receive meanwhile. Throws Error(refused) where looking would take something away: an
// error that waits to be reported (SO_ERROR), urgent data. Empty datagrams are seen once only: the kernel (6.18) marks
// them, and skips them the next time.
std::vector<UnixPacket> peek_unix_queue(int fd, int type, const std::string& object);

// An error waits to be reported; it is not taken. Of a unix socket it is ECONNRESET.
bool has_pending_error(int fd);

}  // namespace crx
