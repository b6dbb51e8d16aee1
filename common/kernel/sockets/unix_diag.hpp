// Unix sockets as sock_diag(7) reports them.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace crx {

// From linux/unix_diag.h. States are those of TCP: 1 established, 7 closed, 10 listening.
struct UnixSocketInfo {
  uint32_t inode = 0;  // 0 for a connection that has not been accepted yet
  int type = 0;        // SOCK_
  int state = 0;
  uint64_t cookie = 0;  // unique for as long as the network namespace exists
  bool named = false;
  std::string name;              // sun_path; abstract names begin with a zero byte
  std::optional<uint32_t> peer;  // inode of the other end; 0 when that end has been closed
  bool has_file = false;         // bound to a file:
  uint32_t file_inode = 0;       //   the lower 32 bits of its inode number
  dev_t file_dev = 0;            //   as stat(2) gives it
  // listening: inodes of the clients that have not been accepted; 0 for a client that has closed its socket
  std::vector<uint32_t> waiting;
  // bytes (datagram socket: of the first datagram); listening: number of connections not accepted yet
  uint32_t receive_queue = 0;
  uint32_t send_queue = 0;  // bytes; listening: the backlog
  uint8_t shutdown = 0;     // 1 receiving, 2 sending
};

constexpr int kSocketEstablished = 1;
constexpr int kSocketClosed = 7;
constexpr int kSocketListening = 10;

// All unix sockets of the network namespace of the calling thread, in the kernel's order. Sockets that appear or
// disappear during the listing may be missing. Throws Error(unsupported) on a kernel without unix_diag.
std::vector<UnixSocketInfo> list_unix_sockets();
// The same, only listening sockets.
std::vector<UnixSocketInfo> list_listening_unix_sockets();
// A single socket; nullopt when there is none with this inode.
std::optional<UnixSocketInfo> find_unix_socket(uint32_t inode);

}  // namespace crx
